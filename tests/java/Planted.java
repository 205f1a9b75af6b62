import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A secret wherever a Java application may have one, and what a user may want to read all the same. */
final class Planted {
    static long number = 0x5EC2E75EC2E7L;

    private final List<Object> held = new ArrayList<>();
    private final Map<Object, Object> map = new HashMap<>();
    private final long numberInAField = 0x5EC2E75EC2E7L;
    private final long[] numbers = {0x5EC2E75EC2E7L, 0x5EC2E75EC2E7L};

    Planted(String secret) {
        held.add(secret.substring(0));
        held.add(secret + "\u6f22");
        held.add(secret.toCharArray());
        held.add(secret.getBytes());
        held.add(new StringBuilder(secret).append('x'));
        held.add(new String(secret.replace('e', '\u6f22').toCharArray()));
        held.add(secret.replaceAll(".", "\u5b57"));
        map.put(new String(secret.toCharArray()), "value");
        System.setProperty("planted.secret", secret);
        held.add(new Order("readable-note", 0x600D600D600DL));
        start("a readable thread");
        start("\u6f22\u5b57");
    }

    private static void start(String name) {
        Thread thread = new Thread(Planted::sleep, name);
        thread.setDaemon(true);
        thread.start();
    }

    private static void sleep() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}

/** What --keep-class may name. */
final class Order {
    final String note;
    final long number;
    final char[] letters;

    Order(String note, long number) {
        this.note = new StringBuilder(note).append("-kept").toString();
        this.number = number;
        this.letters = (note + "-letters").toCharArray();
    }
}
