/* What a bug report tells of the machine it is made on: the kernel, checks, the table `fairlead` by
 * our own netlink reader, and an agent that answers on loopback. */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "cli/bug_report.h"
#include "nl/nft.h"

#define TABLE "fairlead"
enum { ELEMENTS_MAX = 20000 }; /* of one set; the rest is counted */

static void add_versions(struct bug_report *r)
{
    static const char path[] = "machine/versions.json", what[] = "this program, kernel, system";
    struct utsname u;
    char line[256];
    if (!bug_report_wants(r, path, what))
        return;
    AUTO_JSON json_t *j = json_pack("{s:s}", "fairlead", FAIRLEAD_VERSION);
    if (uname(&u) == 0)
        json_object_set_new(j, "kernel",
                            json_pack("{s:s,s:s,s:s}", "release", u.release, "version", u.version,
                                      "machine", u.machine));
    FILE *f = fopen("/etc/os-release", "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "PRETTY_NAME=", 12) == 0)
            json_object_set_new(j, "system",
                                json_text(str_trim(str_of(line + 12, strcspn(line + 12, "\n")))));
    if (f)
        fclose(f);
    bug_report_add_json(r, path, what, j);
}

static void add_checks(struct bug_report *r)
{
    static const char path[] = "machine/check.json", what[] = "fairlead check";
    if (!bug_report_wants(r, path, what))
        return;
    AUTO_JSON json_t *j = cli_check_all();
    bug_report_add_json(r, path, what, j);
}

/* ---- the kernel's table ---- */

static int on_name(struct str name, void *user)
{
    json_array_append_new(user, json_text(name));
    return 0;
}

static void restart_names(void *user)
{
    json_array_clear(user);
}

struct elements {
    json_t *list;
    size_t n;
};

static void restart(void *user)
{
    struct elements *e = user;
    json_array_clear(e->list);
    e->n = 0;
}

static void add_hex(struct buf *b, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        buf_addf(b, "%02x", (unsigned char)bytes.p[i]);
}

/* Keys and data as they are in the kernel: src/dataplane/README.md says what each part is. */
static int on_element(const struct nfnl_elem *e, void *user)
{
    struct elements *all = user;
    AUTO_DONE(buf) struct buf text = {0};
    if (e->interval_end || all->n++ >= ELEMENTS_MAX)
        return 0;
    add_hex(&text, e->key);
    if (e->key_end.n) {
        buf_add_char(&text, '-');
        add_hex(&text, e->key_end);
    }
    if (e->data.n) {
        buf_add_cstr(&text, " : ");
        add_hex(&text, e->data);
    }
    if (e->chain.n)
        buf_addf(&text, " : " STR_FMT, STR_ARG(e->chain));
    json_array_append_new(all->list, json_text(buf_str(&text)));
    return 0;
}

static int add_family(struct nft *n, uint8_t family, json_t *into, struct err *reterr)
{
    AUTO_JSON json_t *sets = json_array();
    AUTO_JSON json_t *chains = json_array();
    json_t *name;
    size_t i;
    int r = nft_list(n, family, TABLE, NFT_MSG_GETSET, on_name, restart_names, sets, reterr);
    if (r == 0)
        r = nft_list(n, family, TABLE, NFT_MSG_GETCHAIN, on_name, restart_names, chains, reterr);
    json_object_set_new(into, "sets", json_object());
    json_array_foreach(sets, i, name)
    {
        struct elements e = {.list = json_array()};
        int got = nft_dump_elems(n, family, TABLE, json_string_value(name), on_element, restart, &e,
                                 reterr);
        json_object_set_new(json_object_get(into, "sets"), json_string_value(name),
                            json_pack("{s:I,s:o}", "count", (json_int_t)e.n, "elements", e.list));
        r = r < 0 ? r : got;
    }
    json_object_set_new(into, "chains", json_object());
    json_array_foreach(chains, i, name)
    {
        uint64_t packets = 0;
        int got = nft_chain_packets(n, family, TABLE, json_string_value(name), &packets, reterr);
        json_object_set_new(json_object_get(into, "chains"), json_string_value(name),
                            json_integer((json_int_t)packets));
        r = r < 0 ? r : got;
    }
    return r;
}

static void add_table(struct bug_report *r)
{
    static const char path[] = "machine/table.json",
                      what[] =
                          "the table fairlead of this network namespace: sets, chains, counters";
    AUTO(nft) struct nft *n = NULL;
    AUTO_JSON json_t *all = json_object();
    struct err err = {0};
    bool there = false;
    if (!bug_report_wants(r, path, what))
        return;
    int code = nft_new(&n, &err);
    if (code == 0)
        code = nft_table_exists(n, NFPROTO_IPV4, TABLE, &there, &err);
    if (code == 0 && !there)
        code = err_set(&err, -ENOENT, NULL, "there is none here");
    for (int i = 0; i < 2 && code == 0; i++) {
        json_t *family = json_object();
        json_object_set_new(all, i ? "ip6" : "ip", family);
        code = add_family(n, i ? NFPROTO_IPV6 : NFPROTO_IPV4, family, &err);
    }
    if (code < 0)
        bug_report_left_out(r, path, err_text(&err));
    else
        bug_report_add_json(r, path, what, all);
}

/* ---- an agent here ---- */

struct answer {
    bool done;
    int code, status;
    struct buf body;
    char why[256];
};

static void on_done(struct http_call *call, int code, const char *text, void *user)
{
    struct answer *a = user;
    a->done = true;
    a->code = code;
    snprintf(a->why, sizeof(a->why), "%s", code < 0 ? text : "");
    if (code < 0)
        return;
    a->status = http_call_status(call);
    buf_add_str(&a->body, http_call_body(call));
}

static void ask_agent(struct bug_report *r, const char *target, const char *path, const char *what)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    const struct http_client_config config = {
        .ip = {AF_INET, {127, 0, 0, 1}}, .port = 10249, .host = "localhost"};
    const struct http_request request = {.method = "GET", .target = target, .timeout_ms = 5000};
    struct answer a = {0};
    struct err err = {0};
    struct loop *loop;
    if (!bug_report_wants(r, path, what))
        return;
    if (loop_new(&loop, &err) < 0) {
        bug_report_left_out(r, path, err_text(&err));
        return;
    }
    struct http_client *client = http_client_new(loop, &config);
    (void)http_call_start(client, &request, &ops, &a);
    while (!a.done)
        loop_turn(loop, -1);
    http_client_free(client);
    loop_turn(loop, 0);
    loop_free(loop);
    if (a.code < 0 || a.status != 200)
        bug_report_left_out(r, path, a.code < 0 ? a.why : "the agent refused");
    else
        bug_report_add_text(r, path, what, buf_str(&a.body));
    buf_done(&a.body);
}

void bug_report_add_machine(struct bug_report *r)
{
    add_versions(r);
    add_checks(r);
    add_table(r);
    ask_agent(r, "/metrics", "machine/agent-metrics.txt", "metrics of an agent at 127.0.0.1:10249");
    ask_agent(r, "/statusz", "machine/agent-statusz.txt", "its state");
    ask_agent(r, "/flagz", "machine/agent-flagz.txt", "its flags");
}
