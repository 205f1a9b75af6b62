/** Measures stop-the-world pauses from the inside: the longest time that a thread sleeping 1 ms was away. */
final class PauseClock {
    private long last = System.nanoTime();
    private long longest;

    void start() {
        Thread thread = new Thread(this::run, "pause-clock");
        thread.setDaemon(true);
        thread.start();
    }

    /** The longest gap since the last call, in milliseconds with one decimal. */
    synchronized String take() {
        tick();
        long tenths = longest / 100_000;
        longest = 0;
        return tenths / 10 + "." + tenths % 10;
    }

    private synchronized void tick() {
        long now = System.nanoTime();
        longest = Math.max(longest, now - last);
        last = now;
    }

    private void run() {
        while (true) {
            try {
                Thread.sleep(1);
            } catch (InterruptedException e) {
                return;
            }
            tick();
        }
    }
}
