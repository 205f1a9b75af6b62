import java.io.IOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/**
 * A heap of one kind for the benchmark, in front of Heap: BenchHeap KIND MB … Heap ARGUMENTS.
 * Prints BUILT and the number of its markers when all is allocated, some time after READY: large heaps take long.
 */
public final class BenchHeap {
    private static final int MAPS = 11;
    private static final int ENTRIES = 735;
    private static final String[] WORDS = {"order", "customer", "invoice", "shipped", "Berlin", "warehouse", "amount"};

    /** Since JDK 9 a Latin-1 string has one byte for each character. */
    private static final int CHAR = System.getProperty("java.specification.version").startsWith("1.") ? 2 : 1;

    private static Object[] held;

    public static void main(String[] args) throws IOException {
        Thread builder = new Thread(() -> build(args[0], Integer.parseInt(args[1])), "builder");
        builder.setDaemon(true);
        builder.start();
        int heap = Arrays.asList(args).indexOf("Heap");
        Heap.main(Arrays.copyOfRange(args, heap + 1, args.length));
    }

    private static void build(String kind, int mb) {
        try {
            held = IntStream.range(0, mb).parallel().mapToObj(maker(kind)).toArray();
            System.out.println("BUILT " + (kind.equals("objects") ? (long) mb * MAPS * ENTRIES : 0));
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    /** Each call makes about one MiB of dump. */
    private static IntFunction<Object> maker(String kind) {
        switch (kind) {
            case "objects":
                return BenchHeap::objects;
            case "strings":
                return BenchHeap::strings;
            case "arrays":
                return BenchHeap::arrays;
            case "mixed":
                return Content::new;
            default:
                throw new IllegalArgumentException(kind);
        }
    }

    /** Many small maps: the table of one large map would be an array of half a gigabyte. */
    private static Object objects(int seed) {
        Object[] maps = new Object[MAPS];
        for (int i = 0; i < MAPS; i++) {
            maps[i] = map((seed * MAPS + i) * ENTRIES);
        }
        return maps;
    }

    private static Map<Integer, Marker> map(int first) {
        Map<Integer, Marker> map = new HashMap<>(1024);
        Marker last = null;
        for (int key = first; key < first + ENTRIES; key++) {
            last = new Marker(key, last);
            map.put(key, last);
        }
        return map;
    }

    private static Object strings(int seed) {
        Random random = new Random(seed);
        String[] strings = new String[12_000];
        int bytes = 8 * strings.length;
        for (int i = 0; i < strings.length && bytes < 1 << 20; i++) {
            strings[i] = text(random);
            bytes += 60 + CHAR * strings[i].length();
        }
        return strings;
    }

    private static String text(Random random) {
        StringBuilder text = new StringBuilder();
        for (int words = 1 + random.nextInt(15); words > 0; words--) {
            text.append(WORDS[random.nextInt(WORDS.length)]).append(' ');
        }
        return text.append(random.nextInt()).toString();
    }

    /**
     * Half of each array is noise, the other half compresses to almost nothing. Each is smaller than half a region of
     * G1, whose rest would be dumped as filler.
     */
    private static Object arrays(int seed) {
        Random random = new Random(seed);
        Object[] arrays = new Object[5];
        for (int i = 0; i < arrays.length; i++) {
            arrays[i] = i % 2 == 0 ? bytes(random) : longs(random);
        }
        return arrays;
    }

    private static byte[] bytes(Random random) {
        byte[] bytes = new byte[208_000];
        for (int i = 0; i < bytes.length / 2; i++) {
            bytes[i] = (byte) random.nextInt();
        }
        return bytes;
    }

    private static long[] longs(Random random) {
        long[] longs = new long[26_000];
        for (int i = 0; i < longs.length; i++) {
            longs[i] = i % 2 == 0 ? random.nextLong() : i & 0xff;
        }
        return longs;
    }
}
