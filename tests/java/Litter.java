/**
 * Many texts that nobody holds any more, between objects that live: where a collector leaves these where they are, it fills
 * the holes, and where it allocates anew, it fills what is left of the room, and clears neither.
 */
final class Litter {
    /** Few enough holes that no collector finds moving worth its while (JDK: MarkSweepDeadRatio). */
    private static final int LIVING_PER_DEAD = 60;
    private static final int DEAD = 1_000;
    private static final int CHURN = 200_000;

    private final Object[] held = new Object[LIVING_PER_DEAD * DEAD];
    private Object dropped;

    Litter(String text) {
        for (int i = 0; i < held.length; i++) {
            held[i] = i % LIVING_PER_DEAD == 0 ? dead(text, i / LIVING_PER_DEAD) : new byte[64];
        }
        System.gc();
        for (int i = 0; i < held.length; i += LIVING_PER_DEAD) {
            held[i] = null;
        }
        System.gc();
        for (int i = 0; i < CHURN; i++) {
            dropped = dead(text, i);
        }
        dropped = null;
    }

    /** Each of another length, and in each encoding. */
    private static Object dead(String text, int number) {
        StringBuilder dead = new StringBuilder();
        for (int i = 0; i <= number % 3; i++) {
            dead.append(text).append(number);
        }
        return number % 4 == 0 ? dead.append('\u6f22').toString() : dead.toString();
    }
}
