import java.util.ArrayList;
import java.util.List;

/** Allocates at a steady rate: garbage, of which the last MB are held for a while, or a leak. */
final class Load extends Thread {
    private static final int CHUNK = (64 << 10) - 16;
    private static final int CHUNKS_PER_MB = 16;

    private final List<byte[]> leaked = new ArrayList<>();
    private final Object[] held;
    private final double chunksPerSecond;

    /** Holds the last MB of what it allocates; 0 for a leak. */
    Load(double mbPerSecond, int heldMb) {
        super("load");
        setDaemon(true);
        chunksPerSecond = mbPerSecond * CHUNKS_PER_MB;
        held = new Object[heldMb * CHUNKS_PER_MB];
    }

    @Override
    public void run() {
        long begun = System.nanoTime();
        for (int count = 0; true; pause()) {
            double seconds = (System.nanoTime() - begun) / 1e9;
            for (; count < seconds * chunksPerSecond; count++) {
                byte[] chunk = new byte[CHUNK];
                if (held.length == 0) {
                    leaked.add(chunk);
                } else {
                    held[count % held.length] = chunk;
                }
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(5);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
