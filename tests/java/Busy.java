import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Holds up every safepoint: C2 leaves no poll in a counted int loop where UseCountedLoopSafepoints is off
 * (the default of JDK 8; newer ones need -XX:-UseCountedLoopSafepoints).
 */
final class Busy {
    private static volatile int sink;

    private final int iterations;

    Busy(double seconds) {
        for (int i = 0; i < 30_000; i++) {
            sink = spin(500);
        }
        double perIteration = Double.MAX_VALUE;
        for (int i = 0; i < 15; i++) {
            // On a loaded machine C2 needs its time; -Xbatch makes sure.
            pause();
            perIteration = Math.min(perIteration, sample(1_000_000));
        }
        iterations = (int) Math.min(Integer.MAX_VALUE - 64, seconds * 1e9 / perIteration);
    }

    /**
     * Returns when the loop has used some CPU time: nothing in the loop could tell, it would get a poll.
     * A safepoint of the JVM's own may have stopped this thread until the loop's end: then once more.
     */
    void start() {
        Thread thread;
        do {
            thread = new Thread(() -> sink = spin(iterations), "busy");
            thread.setDaemon(true);
            thread.start();
            while (thread.isAlive() && cpuNanos("busy") < 3_000_000) {
                Thread.yield();
            }
        } while (!thread.isAlive());
    }

    private static long cpuNanos(String name) {
        for (File task : new File("/proc/self/task").listFiles()) {
            try {
                if (text(task, "comm").equals(name)) {
                    return Long.parseLong(text(task, "schedstat").split(" ")[0]);
                }
            } catch (IOException e) {
                continue; // a thread that has ended
            }
        }
        return 0;
    }

    private static String text(File task, String name) throws IOException {
        Path path = task.toPath().resolve(name);
        return new String(Files.readAllBytes(path)).trim();
    }

    private static void pause() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Nanoseconds per iteration. */
    private static double sample(int n) {
        long start = System.nanoTime();
        sink = spin(n);
        return Math.max(1, System.nanoTime() - start) / (double) n;
    }

    /** Steps that wait for each other, so that even 20 seconds fit into an int. */
    private static int spin(int n) {
        int a = 1;
        for (int i = 0; i < n; i++) {
            a = (a * 31 + i) ^ (a >>> 7);
            a = (a * 31 + i) ^ (a >>> 7);
            a = (a * 31 + i) ^ (a >>> 7);
            a = (a * 31 + i) ^ (a >>> 7);
            a = (a * 31 + i) ^ (a >>> 7);
            a = (a * 31 + i) ^ (a >>> 7);
        }
        return a;
    }
}
