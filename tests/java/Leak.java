import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Leaks until the JVM or its container ends. Arguments: MB per second, and the MB that come at once. Prints READY and its
 * PID, then LEAKED and the MB that it holds. gzip -1 makes about a third of them. Time in which the JVM stood still is
 * not made up for.
 */
public final class Leak {
    private static final int ARRAY = 4096 - 16;
    private static final int ARRAYS_PER_MB = 256;
    private static final int RANDOM_PART = ARRAY / 3;

    private static final List<Kept> HELD = new ArrayList<>();

    public static void main(String[] args) throws IOException, InterruptedException {
        double mbPerSecond = Double.parseDouble(args[0]);
        int step = Integer.parseInt(args[1]);
        byte[] noise = new byte[1 << 20];
        new Random(1).nextBytes(noise);
        say("READY " + new File("/proc/self").getCanonicalFile().getName());
        long nanosPerStep = (long) (step / mbPerSecond * 1e9);
        for (long next = System.nanoTime(), held = step; true; held += step) {
            leak(step, noise);
            say("LEAKED " + held);
            next = Math.max(next + nanosPerStep, System.nanoTime() - nanosPerStep);
            Thread.sleep(Math.max(0, (next - System.nanoTime()) / 1_000_000));
        }
    }

    private static void leak(int mb, byte[] noise) {
        for (int i = 0; i < mb * ARRAYS_PER_MB; i++) {
            Kept kept = new Kept(ARRAY);
            int from = (i * 7919) % (noise.length - RANDOM_PART);
            System.arraycopy(noise, from, kept.array, 0, RANDOM_PART);
            HELD.add(kept);
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
