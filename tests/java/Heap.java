import java.io.BufferedReader;
import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Writer;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The JVM that the tests dump. Arguments, all key=value: markers (1000), garbage (0), mb (0), secret, plant (a secret
 * at many places), litter (a text that dead objects have), out (a file
 * that gets the READY line too), sap (seconds of time to safepoint for the command "busy").
 * Prints READY and its PID when all is allocated, then answers each line of standard input by one line. "churn N" and
 * "leak N" allocate N MB per second from then on, "direct N" N MB outside the heap; "keep N"
 * holds N arrays of 64 KiB, each by an object.
 */
public final class Heap {
    private static final List<Object> HELD = new ArrayList<>();

    /** So much lives into the old generation, and dies there. */
    private static final int CHURN_HELD_MB = 20;

    private static Marker[] dropped;

    public static void main(String[] args) throws IOException {
        Map<String, String> options = options(args);
        for (int i = 0; i < number(options, "mb", 0); i++) {
            HELD.add(new Content(i));
        }
        HELD.add(markers(number(options, "markers", 1000)));
        if (options.containsKey("secret")) {
            HELD.add(options.get("secret"));
        }
        if (options.containsKey("plant")) {
            HELD.add(new Planted(options.get("plant")));
        }
        if (options.containsKey("litter")) {
            HELD.add(new Litter(options.get("litter")));
        }
        double sap = Double.parseDouble(options.getOrDefault("sap", "0"));
        Busy busy = sap > 0 ? new Busy(sap) : null;
        PauseClock clock = new PauseClock();
        clock.start();
        makeGarbage(number(options, "garbage", 0));
        ready(options.get("out"));
        answer(clock, busy);
        System.exit(0);
    }

    private static void answer(PauseClock clock, Busy busy) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.trim().split(" ");
            switch (words[0]) {
                case "churn":
                    new Load(Double.parseDouble(words[1]), CHURN_HELD_MB).start();
                    say("churn");
                    break;
                case "leak":
                    new Load(Double.parseDouble(words[1]), 0).start();
                    say("leak");
                    break;
                case "keep":
                    for (int i = 0; i < Integer.parseInt(words[1]); i++) {
                        HELD.add(new Kept(64 << 10));
                    }
                    say("keep");
                    break;
                case "direct":
                    direct(Integer.parseInt(words[1]));
                    say("direct");
                    break;
                case "ping":
                    say("pong");
                    break;
                case "gap":
                    say("gap " + clock.take());
                    break;
                case "gc":
                    System.gc();
                    say("gc");
                    break;
                case "oom":
                    exhaust();
                    say("oom");
                    break;
                case "busy":
                    if (busy != null) {
                        busy.start();
                    }
                    say(busy != null ? "busy" : "unknown busy: start with sap=SECONDS");
                    break;
                case "exit":
                    return;
                default:
                    say("unknown " + line);
            }
        }
    }

    /** Outside the heap. */
    private static void direct(int mb) {
        for (int i = 0; i < mb; i++) {
            HELD.add(ByteBuffer.allocateDirect(1 << 20));
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** /proc knows the PID on every JDK; the runtime's name would also look up the host name. */
    private static void ready(String out) throws IOException {
        String line = "READY " + new File("/proc/self").getCanonicalFile().getName();
        if (out != null) {
            try (Writer file = new FileWriter(out)) {
                file.write(line + "\n");
            }
        }
        say(line);
    }

    private static Marker[] markers(int count) {
        Marker[] markers = new Marker[count];
        for (int i = 0; i < count; i++) {
            markers[i] = new Marker(i, i == 0 ? null : markers[i - 1]);
        }
        return markers;
    }

    /** By way of a static field: C2 would never allocate what does not escape. Collected first, so that none is lost early. */
    private static void makeGarbage(int count) {
        if (count > 0) {
            System.gc();
            dropped = markers(count);
            dropped = null;
        }
    }

    private static void exhaust() {
        List<Object> hoard = new ArrayList<>();
        try {
            while (true) {
                hoard.add(new byte[1 << 20]);
            }
        } catch (OutOfMemoryError e) {
            hoard.clear();
        }
    }

    private static int number(Map<String, String> options, String key, int fallback) {
        return Integer.parseInt(options.getOrDefault(key, Integer.toString(fallback)));
    }

    private static Map<String, String> options(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            int equals = arg.indexOf('=');
            if (equals < 0) {
                throw new IllegalArgumentException("not key=value: " + arg);
            }
            options.put(arg.substring(0, equals), arg.substring(equals + 1));
        }
        return options;
    }
}
