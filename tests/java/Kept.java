/** A class of the application that holds an array, as a leak does. */
final class Kept {
    final byte[] array;

    Kept(int length) {
        array = new byte[length];
    }
}
