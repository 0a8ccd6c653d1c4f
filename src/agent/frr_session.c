/* The states: away, reading (what it has), writing (commands, one at a time), resting. From resting
 * it reads again when something else is wanted, and every half minute.
 *
 * Two versions of FRR may show one thing in two ways. What was said and is not shown as it was said
 * is taken for there, and what is shown and cannot be removed for gone, until the daemon restarts:
 * nothing is said over and over, no session is reset for a word. */
#include "agent/frr_session.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/log.h"
#include "codec/vty.h"
#include "net/conn.h"

enum {
    RETRY_MS = 2 * 1000,
    ANSWER_MS = 15 * 1000,
    CHECK_MS = 30 * 1000,
    ANSWER_BYTES_MAX = 64 * 1024 * 1024, /* of a configuration with a million lines */
    WARMTH_BYTES = 64 * 1024,            /* kept of the buffer when it rests */
};

enum state { AWAY, READING, WRITING, RESTING, ASKING };

struct frr_session {
    struct loop *loop;
    const struct frr_session_options *options;
    struct conn *conn;
    struct loop_timer *timer;
    enum state state;
    struct buf in;
    struct frr_config wanted, there;
    struct frr_config said; /* what was wanted when commands were made; only with `again` */
    struct frr_config unshown, stuck; /* said and not shown; shown and not removed */
    struct frr_commands commands;
    size_t at;            /* of them, or of the words that read */
    unsigned left_out;    /* blocks that are skipped, since one was refused */
    struct map refused;   /* blocks, while these commands are said */
    bool wants;           /* it was told what is wanted; before, nothing is said */
    bool again;           /* something else is wanted since the commands were made */
    bool verifies;        /* it reads what has come of commands */
    bool knows;           /* it has read */
    bool is_told;         /* that it is away */
    uint64_t check_at_ms; /* when it is read the next time, if nothing else happens */
    frr_answer_fn *answer;
    struct frr_session_stats stats;
};

static void begin_reading(struct frr_session *s, bool verifies);

/* ---- words ---- */

static void say(struct frr_session *s, const char *text)
{
    conn_write(s->conn, (struct str){text, strlen(text) + 1});
    loop_timer_start(s->timer, ANSWER_MS);
}

static void rest(struct frr_session *s)
{
    s->state = RESTING;
    s->stats.is_up = true;
    if (s->in.size > WARMTH_BYTES)
        buf_done(&s->in);
    uint64_t now = loop_now_ms(s->loop);
    loop_timer_start(s->timer, s->check_at_ms > now ? s->check_at_ms - now : 0);
}

static void away(struct frr_session *s, const char *why)
{
    frr_answer_fn *answer = s->answer;
    if (s->conn)
        conn_free(s->conn);
    s->conn = NULL;
    s->answer = NULL;
    bool was = s->knows;
    s->stats.losses += was;
    s->state = AWAY;
    s->stats.is_up = s->knows = false;
    buf_done(&s->in);
    frr_commands_done(&s->commands);
    frr_config_done(&s->there);
    frr_config_done(&s->unshown);
    frr_config_done(&s->stuck);
    loop_timer_start(s->timer, RETRY_MS);
    if (answer)
        answer(NULL, s->options->user);
    if (was || !s->is_told)
        s->options->on_lost(why, s->options->user);
    s->is_told = true;
    if (was)
        s->options->on_change(s->options->user);
}

/* ---- writing ---- */

/* What is there, with what is taken for there and without what is taken for gone. */
static void make_commands(struct frr_session *s)
{
    struct frr_config from = {0};
    VEC_FOREACH (one, &s->there.v)
        if (!frr_config_has(&s->stuck, one) || frr_config_has(&s->wanted, one))
            frr_config_add(&from, one->outer, one->inner, "%s", one->line);
    VEC_FOREACH (one, &s->unshown.v)
        frr_config_add(&from, one->outer, one->inner, "%s", one->line);
    frr_config_diff(&from, &s->wanted, &s->commands);
    frr_config_done(&from);
}

static void say_next(struct frr_session *s)
{
    for (; s->at < s->commands.n; s->at++) {
        const struct frr_command *c = &s->commands.v[s->at];
        bool enters = c->kind == FRR_ENTER;
        if (!s->left_out && !(enters && map_find_cstr(&s->refused, c->text)))
            break;
        s->left_out += enters;
        s->left_out -= c->kind == FRR_LEAVE;
    }
    if (s->at <= s->commands.n)
        say(s, s->at < s->commands.n ? s->commands.v[s->at].text : "end");
}

static void begin_writing(struct frr_session *s)
{
    s->again = false;
    s->left_out = 0;
    map_done(&s->refused);
    frr_commands_done(&s->commands);
    make_commands(s);
    if (!s->commands.n) {
        rest(s);
        return;
    }
    s->state = WRITING;
    s->at = SIZE_MAX; /* into the configuration first */
    say(s, "configure terminal");
}

static void on_refused(struct frr_session *s, const struct frr_command *c,
                       const struct vty_reply *reply)
{
    const char *secret = c->secret ? strstr(c->text, " password ") : NULL;
    AUTO_CHARS char *command =
        secret ? xasprintf("%.*s password (hidden)", (int)(secret - c->text), c->text)
               : xstrdup(c->text);
    struct str said = str_first(reply->text, 200);
    while (said.n && (said.p[said.n - 1] == '\n' || said.p[said.n - 1] == '\r'))
        said.n--;
    AUTO_CHARS char *text = c->secret ? xstrdup("") : str_dup(said);
    s->stats.refused++;
    if (c->kind == FRR_ENTER) {
        s->left_out = 1;
        map_put_cstr(&s->refused, c->text, s);
    }
    s->options->on_refused(command, text, s->options->user);
}

static void on_done(struct frr_session *s, const struct vty_reply *reply)
{
    if (s->at == SIZE_MAX) {
        if (reply->status != VTY_OK) {
            away(s, "it lets nobody configure it now");
            return;
        }
        s->at = 0;
        say_next(s);
        return;
    }
    if (s->at >= s->commands.n) { /* "end" */
        begin_reading(s, true);
        return;
    }
    s->stats.commands++;
    const struct frr_command *c = &s->commands.v[s->at++];
    if (reply->status != VTY_OK && reply->status != VTY_WARNING)
        on_refused(s, c, reply);
    say_next(s);
}

/* ---- reading ---- */

static void begin_reading(struct frr_session *s, bool verifies)
{
    s->state = READING;
    s->verifies = verifies;
    s->at = 0;
    say(s, "enable");
}

/* In a and not in b. */
static void without(const struct frr_config *a, const struct frr_config *b, struct frr_config *ret)
{
    frr_config_done(ret);
    VEC_FOREACH (one, &a->v)
        if (!frr_config_has(b, one))
            frr_config_add(ret, one->outer, one->inner, "%s", one->line);
}

static void on_read(struct frr_session *s, const struct vty_reply *reply)
{
    if (s->at++ == 0) {
        say(s, "show running-config");
        return;
    }
    if (reply->status != VTY_OK) {
        away(s, "it does not show its configuration");
        return;
    }
    s->check_at_ms = loop_now_ms(s->loop) + CHECK_MS;
    frr_config_done(&s->there);
    frr_config_parse(reply->text, &s->there);
    if (s->there.failed) {
        away(s, "its configuration has more than a million lines of ours");
        return;
    }
    if (!s->knows)
        log_info("configures a daemon of FRR", kv_s("daemon", s->options->daemon));
    s->stats.connects += !s->knows;
    bool first = !s->knows;
    s->knows = true;
    s->is_told = false;
    s->options->on_change(s->options->user); /* before anything is said to it */
    if (!s->wants) {
        rest(s);
        return;
    }
    if (s->verifies) {
        const struct frr_config *said = s->again ? &s->said : &s->wanted;
        without(said, &s->there, &s->unshown);
        without(&s->there, said, &s->stuck);
    }
    if (s->verifies && !s->again) {
        if (s->unshown.v.n + s->stuck.v.n)
            log_debug("a daemon of FRR shows other words than it was told",
                      kv_s("daemon", s->options->daemon), kv_i("lines", (int64_t)s->unshown.v.n));
        rest(s);
        return;
    }
    bool repairs = !first && !s->again;
    begin_writing(s);
    s->stats.repairs += repairs && s->state == WRITING;
}

/* ---- the connection ---- */

static void on_reply(struct frr_session *s, const struct vty_reply *reply)
{
    frr_answer_fn *answer = s->answer;
    switch (s->state) {
    case READING:
        on_read(s, reply);
        break;
    case WRITING:
        on_done(s, reply);
        break;
    case ASKING:
        s->answer = NULL;
        answer(reply->status == VTY_OK ? &reply->text : NULL, s->options->user);
        if (s->again)
            begin_reading(s, false);
        else
            rest(s);
        break;
    case AWAY:
    case RESTING:
        away(s, "it speaks without being asked");
        break;
    }
}

/* One command is under way, so an answer that is whole has nothing behind it. */
static bool ends_well(const struct buf *b)
{
    return b->n >= 4 && !b->p[b->n - 4] && !b->p[b->n - 3] && !b->p[b->n - 2];
}

static void on_data(struct conn *c, void *user)
{
    struct frr_session *s = user;
    struct vty_reply reply;
    struct chain *in = conn_in(c);
    while (in->n) {
        struct str part = chain_front(in);
        buf_add_str(&s->in, part);
        chain_consume(in, part.n);
    }
    int r = s->in.failed        ? -E2BIG
            : ends_well(&s->in) ? vty_reply_parse(buf_str(&s->in), &reply)
                                : 0;
    if (r < 0 || (r > 0 && reply.bytes != s->in.n)) {
        away(s, r == -E2BIG ? "its answer has more than 64 MiB" : "it does not speak as vty does");
        return;
    }
    if (r > 0) {
        struct buf taken = s->in; /* what the answer is in stays until all is done */
        s->in = (struct buf){.cap = ANSWER_BYTES_MAX};
        on_reply(s, &reply);
        buf_done(&taken);
    } else if (conn_eof(c)) {
        away(s, "it has ended");
    }
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct frr_session *s = user;
    (void)c;
    s->conn = NULL; /* freed by itself */
    away(s, code == 0 ? "it has ended" : text);
}

static void on_open(struct conn *c, void *user)
{
    (void)c;
    begin_reading(user, false);
}

static void start(struct frr_session *s)
{
    static const struct conn_ops ops = {
        .on_open = on_open, .on_data = on_data, .on_close = on_close};
    static const struct conn_options conn_options = {0};
    struct sockaddr_storage to = {0};
    struct sockaddr_un *sa = (struct sockaddr_un *)&to;
    sa->sun_family = AF_UNIX;
    int n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/%s.vty", s->options->directory,
                     s->options->daemon);
    if (n < 0 || (size_t)n >= sizeof(sa->sun_path)) {
        away(s, "the path of its socket is too long");
        return;
    }
    s->in = (struct buf){.cap = ANSWER_BYTES_MAX};
    s->conn = conn_connect(s->loop, &to,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1),
                           &conn_options, &ops, s);
    loop_timer_start(s->timer, ANSWER_MS);
}

static void on_timer(void *user)
{
    struct frr_session *s = user;
    if (s->state == RESTING)
        begin_reading(s, false);
    else if (s->conn)
        away(s, "it does not answer");
    else
        start(s);
}

/* ---- outside ---- */

void frr_session_want(struct frr_session *s, struct frr_config *config)
{
    if (s->wants && frr_config_equal(&s->wanted, config) && !config->failed) {
        frr_config_done(config);
        return;
    }
    if (!s->again && (s->state == WRITING || (s->state == READING && s->verifies))) {
        frr_config_done(&s->said);
        s->said = s->wanted;
        s->wanted = (struct frr_config){0};
    }
    frr_config_done(&s->wanted);
    s->wanted = *config;
    *config = (struct frr_config){0};
    s->wants = s->again = true;
    if (s->state == RESTING)
        begin_writing(s);
}

const struct frr_config *frr_session_there(const struct frr_session *s)
{
    return s->knows ? &s->there : NULL;
}

bool frr_session_is_settled(const struct frr_session *s)
{
    return s->state == RESTING;
}

bool frr_session_ask(struct frr_session *s, const char *command, frr_answer_fn *fn)
{
    if (s->state != RESTING)
        return false;
    s->state = ASKING;
    s->answer = fn;
    say(s, command);
    return true;
}

void frr_session_get_stats(const struct frr_session *s, struct frr_session_stats *ret)
{
    *ret = s->stats;
}

struct frr_session *frr_session_new(struct loop *l, const struct frr_session_options *o)
{
    struct frr_session *s = NEW(struct frr_session);
    s->loop = l;
    s->options = o;
    s->timer = loop_timer_new(l, on_timer, s);
    loop_timer_start(s->timer, 0);
    return s;
}

void frr_session_free(struct frr_session *s)
{
    if (!s)
        return;
    if (s->conn)
        conn_free(s->conn);
    loop_timer_free(s->timer);
    buf_done(&s->in);
    frr_commands_done(&s->commands);
    map_done(&s->refused);
    frr_config_done(&s->said);
    frr_config_done(&s->wanted);
    frr_config_done(&s->there);
    frr_config_done(&s->unshown);
    frr_config_done(&s->stuck);
    free(s);
}
