/* What Debian's zlib asks of glibc and musl lacks. Linked as libz.so.1 in front of it, for the JVM on musl. */
#include <stdarg.h>
#include <stdio.h>

int __vsnprintf_chk(char *text, size_t size, int flag, size_t room, const char *format, va_list args) {
    (void)flag;
    return vsnprintf(text, size < room ? size : room, format, args);
}

int __snprintf_chk(char *text, size_t size, int flag, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = __vsnprintf_chk(text, size, flag, room, format, args);
    va_end(args);
    return length;
}
