/* Stands in for a GraalVM native image with attach support, which cannot be had: the section by which one is known,
 * the attach handshake, and jcmd as the only operation. `native_double DUMP` hands out a copy of DUMP. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

__attribute__((section(".svm_heap"), used)) static const char svm_heap[16] = "heap";

static volatile sig_atomic_t asked;

static void on_quit(int signal) {
    (void)signal;
    asked = 1;
}

static void *idle(void *unused) {
    for (;;)
        pause();
    return unused;
}

static void copy(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wbx");
    char page[4096];
    size_t n;
    if (!in || !out)
        exit(1);
    while ((n = fread(page, 1, sizeof page, in)) > 0)
        fwrite(page, 1, n, out);
    fclose(in);
    fclose(out);
}

/* Version, operation and three arguments, each with its NUL. */
static void answer(int client, const char *dump) {
    char request[8192], reply[8192] = "-1\nInvalid Operation. Only jcmd is supported currently.\n";
    size_t len = 0;
    int nuls = 0;
    while (nuls < 5 && read(client, request + len, 1) == 1)
        nuls += request[len++] == 0;
    const char *operation = request + strlen(request) + 1;
    const char *command = operation + strlen(operation) + 1;
    if (!strcmp(operation, "jcmd")) {
        const char *path = strrchr(command, ' ');
        if (!strncmp(command, "GC.heap_dump ", 13) && path) {
            copy(dump, path + 1);
            snprintf(reply, sizeof reply, "0\nDumped to: %s\n", path + 1);
        } else {
            strcpy(reply, "-1\nUnknown diagnostic command\n");
        }
    }
    if (write(client, reply, strlen(reply)) < 0)
        exit(1);
    close(client);
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    if (argc != 2)
        return 2;
    pthread_create(&thread, NULL, idle, NULL);
    signal(SIGQUIT, on_quit);
    puts("READY");
    fflush(stdout);
    while (!asked)
        usleep(1000);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/.java_pid%d", getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 5))
        return 1;
    for (;;)
        answer(accept(listener, NULL, NULL), argv[1]);
}
