/** What the tests count in a dump: nothing in the JDK has instances of it. */
final class Marker {
    final int id;
    final Object link;

    Marker(int id, Object link) {
        this.id = id;
        this.link = link;
    }
}
