/* What a server of this model costs at least: C, epoll, one thread, ONNX Runtime's C API, and no more of HTTP and JSON
   than this benchmark sends. Nothing is checked, limited, logged or counted. All requests that have arrived are one
   call of the model; no timer waits for more.

   ceiling MODEL PORT: POST {"instances": [{"features": [..12 numbers..]}, ..]} -> {"predictions": [[..3..], ..]}

   ONNX Runtime's wheel brings the library without its header. The C API is a table of functions to which new ones are
   only appended (onnxruntime_c_api.h), so the few that are needed are named by their place. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WIDTH = 12, SCORES = 3, ROWS = 4096, EVENTS = 256, BUFFER = 1 << 16, FLOAT = 1, WARNING = 2, CPU_ARENA = 0 };
enum { MESSAGE = 2, ENV = 3, SESSION = 7, RUN = 9, OPTIONS = 10, THREADS = 24, WITH_DATA = 49, DATA = 51, MEMORY = 69 };
enum { RELEASE_VALUE = 96 };

typedef struct { const void *(*api)(uint32_t); const char *(*version)(void); } Base;
extern const Base *OrtGetApiBase(void);

static void **table;
static void *env, *session, *memory;

#define CALL(place, types, ...) check(((void *(*) types)table[place])(__VA_ARGS__))

static void check(void *status) {
    if (!status) return;
    fprintf(stderr, "%s\n", ((const char *(*)(void *))table[MESSAGE])(status));
    exit(1);
}

static void load(const char *path) {
    void *options;
    table = (void **)OrtGetApiBase()->api(1);
    CALL(ENV, (int, const char *, void **), WARNING, "ceiling", &env);
    CALL(OPTIONS, (void **), &options);
    CALL(THREADS, (void *, int), options, 1);
    CALL(SESSION, (void *, const char *, void *, void **), env, path, options, &session);
    CALL(MEMORY, (int, int, void **), CPU_ARENA, 0, &memory);
}

typedef struct { int socket, rows; size_t held, used; char in[BUFFER]; } Client;

static float features[ROWS * WIDTH];
static int waiting;

/* The rows of one request, behind those that wait already; 0 where it has not arrived whole. */
static int take(Client *client) {
    char *body = memmem(client->in, client->held, "\r\n\r\n", 4);
    if (!body) return 0;
    *body = 0;
    char *length = strcasestr(client->in, "content-length:");
    size_t size = length ? strtoul(length + 15, NULL, 10) : 0;
    *body = '\r';
    body += 4;
    client->used = (size_t)(body - client->in) + size;
    if (client->held < client->used) return 0;
    int rows = 0;
    for (char *at = body, *end = body + size; (at = memmem(at, end - at, "features", 8)); rows++) {
        at = strchr(at, '[') + 1;
        for (int column = 0; column < WIDTH; column++, at++)
            features[(waiting + rows) * WIDTH + column] = strtof(at, &at);
    }
    waiting += rows;
    return rows;
}

static void answer(Client *client, const float *scores) {
    static char out[ROWS * 64 + 256];
    char *body = out + 128, *at = body;
    at += sprintf(at, "{\"predictions\":[");
    for (int row = 0; row < client->rows; row++, scores += SCORES)
        at += sprintf(at, "%s[%.9g,%.9g,%.9g]", row ? "," : "", scores[0], scores[1], scores[2]);
    at += sprintf(at, "]}");
    char head[128];
    int length = sprintf(
        head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %ld\r\n\r\n", (long)(at - body));
    memcpy(body - length, head, length);
    for (char *from = body - length; from < at;) {
        ssize_t sent = write(client->socket, from, at - from);
        if (sent < 0 && errno != EINTR) return;
        from += sent > 0 ? sent : 0;
    }
}

static void run(Client **asking, int count) {
    int64_t shape[] = {waiting, WIDTH};
    const char *inputs[] = {"features"}, *outputs[] = {"scores"};
    void *input, *output = NULL;
    float *scores;
    CALL(WITH_DATA, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory, features,
         waiting * WIDTH * sizeof(float), shape, 2, FLOAT, &input);
    CALL(RUN, (void *, void *, const char *const *, void *const *, size_t, const char *const *, size_t, void **),
         session, NULL, inputs, &input, 1, outputs, 1, &output);
    CALL(DATA, (void *, void **), output, (void **)&scores);
    for (int one = 0; one < count; scores += asking[one++]->rows * SCORES) answer(asking[one], scores);
    ((void (*)(void *))table[RELEASE_VALUE])(output);
    ((void (*)(void *))table[RELEASE_VALUE])(input);
    waiting = 0;
}

int main(int count, char **words) {
    if (count != 3) return 2;
    load(words[1]);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in place = {AF_INET, htons(atoi(words[2])), {htonl(INADDR_LOOPBACK)}, {0}};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 512)) return 1;
    struct epoll_event event = {EPOLLIN, {.ptr = NULL}}, events[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        Client *asking[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1), asked = 0;
        for (int at = 0; at < ready; at++) {
            Client *client = events[at].data.ptr;
            if (!client) {
                client = calloc(1, sizeof *client);
                client->socket = accept(listener, NULL, NULL);
                setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event = (struct epoll_event){EPOLLIN, {.ptr = client}};
                epoll_ctl(poll, EPOLL_CTL_ADD, client->socket, &event);
                continue;
            }
            ssize_t got = read(client->socket, client->in + client->held, BUFFER - 1 - client->held);
            if (got <= 0) {
                close(client->socket);
                free(client);
                continue;
            }
            client->held += got;
            client->in[client->held] = 0;
            if ((client->rows = take(client))) asking[asked++] = client;
            if (waiting > ROWS - 256) run(asking, asked), asked = 0;
            if (client->rows) {
                client->held -= client->used;
                memmove(client->in, client->in + client->used, client->held);
            }
        }
        if (asked) run(asking, asked);
    }
}
