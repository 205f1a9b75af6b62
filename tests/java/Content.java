import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/** About one megabyte of what applications hold; gzip -1 makes about a third of it. */
final class Content {
    private static final String[] WORDS = {
        "order", "customer", "invoice", "pending", "shipped", "Berlin", "warehouse", "amount", "status", "item"
    };

    private final Map<String, Object> records = new HashMap<>();
    private final int[] counters = new int[40_000];
    private final byte[][] blobs = new byte[10][];

    Content(long seed) {
        Random random = new Random(seed);
        for (int i = 0; i < 2_000; i++) {
            String key = WORDS[i % WORDS.length] + '-' + seed + '-' + i;
            records.put(key, i % 3 == 0 ? (Object) record(random) : sentence(random));
        }
        for (int i = 0; i < counters.length; i++) {
            counters[i] = random.nextInt(1_000);
        }
        for (int i = 0; i < blobs.length; i++) {
            blobs[i] = new byte[8_000];
            random.nextBytes(blobs[i]);
        }
    }

    private static Map<String, Object> record(Random random) {
        Map<String, Object> record = new HashMap<>();
        record.put("id", random.nextLong());
        record.put("amount", random.nextInt(100_000));
        record.put("status", WORDS[random.nextInt(WORDS.length)]);
        return record;
    }

    private static String sentence(Random random) {
        StringBuilder text = new StringBuilder("{\"text\":\"");
        for (int i = 0; i < 12; i++) {
            text.append(WORDS[random.nextInt(WORDS.length)]).append(' ');
        }
        return text.append(random.nextInt()).append("\"}").toString();
    }
}
