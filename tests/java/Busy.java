/**
 * Holds up every safepoint: C2 leaves no poll in a counted int loop where UseCountedLoopSafepoints is off
 * (the default of JDK 8; newer ones need -XX:-UseCountedLoopSafepoints).
 */
final class Busy {
    private static volatile int sink;
    private static volatile boolean begun;

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

    /** Returns when the loop runs; it waits without sleeping, to be away before a safepoint stops it too. */
    void start() {
        Thread thread = new Thread(() -> sink = spin(iterations), "busy");
        thread.setDaemon(true);
        begun = false;
        thread.start();
        while (!begun) {
            Thread.yield();
        }
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
            if (i == 100) {
                begun = true;
            }
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
