/* Nothing gets into the archive but through here: each file is redacted, cut, counted. */
#include "cli/bug_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/time.h"
#include "codec/redact.h"
#include "codec/tar.h"

enum {
    FILE_BYTES_MAX = 8 * 1024 * 1024,
    ARCHIVE_BYTES_MAX = 128 * 1024 * 1024,
};

void bug_report_init(struct bug_report *r)
{
    *r = (struct bug_report){.files = json_array(),
                             .left_out = json_array(),
                             .time_s = (uint64_t)time_real_s(),
                             .control_namespace = "fairlead-system",
                             .proxies_max = 20,
                             .log_lines = 2000};
    r->tar.cap = ARCHIVE_BYTES_MAX;
}

void bug_report_done(struct bug_report *r)
{
    buf_done(&r->tar);
    json_decref(r->files);
    json_decref(r->left_out);
}

bool bug_report_wants(struct bug_report *r, const char *path, const char *what)
{
    if (r->dry_run)
        printf("%-60s %s\n", path, what);
    return !r->dry_run;
}

void bug_report_left_out(struct bug_report *r, const char *path, const char *why)
{
    AUTO_DONE(buf) struct buf plain = {0};
    (void)redact_text(str_trim(str_from(why)), &plain); /* others' words */
    json_t *one = json_pack("{s:s}", "path", path);
    json_object_set_new(one, "why", json_text(buf_str(&plain)));
    json_array_append_new(r->left_out, one);
}

static void add(struct bug_report *r, const char *path, const char *what, struct str text,
                size_t redactions)
{
    AUTO_DONE(buf) struct buf plain = {0};
    struct err err = {0};
    bool cut = text.n > FILE_BYTES_MAX;
    redactions += redact_text(text, &plain); /* before it is cut: half a key looks like none */
    struct str content = str_first(buf_str(&plain), FILE_BYTES_MAX);
    size_t before = r->tar.n;
    if (plain.failed || tar_add(&r->tar, path, r->time_s, content, &err) < 0) {
        r->tar.n = before; /* what is there stays whole */
        r->tar.failed = false;
        bug_report_left_out(r, path, plain.failed ? "too large" : err_text(&err));
        return;
    }
    r->redactions += redactions;
    json_t *one = json_pack("{s:s,s:s,s:I,s:I}", "path", path, "what", what, "bytes",
                            (json_int_t)content.n, "redactions", (json_int_t)redactions);
    if (cut)
        json_object_set_new(one, "cut", json_true());
    json_array_append_new(r->files, one);
}

void bug_report_add_text(struct bug_report *r, const char *path, const char *what, struct str text)
{
    add(r, path, what, text, 0);
}

void bug_report_add_json(struct bug_report *r, const char *path, const char *what, json_t *j)
{
    AUTO_DONE(buf) struct buf text = {0};
    size_t redactions = redact_json(j);
    json_write_indented(&text, j);
    buf_add_char(&text, '\n');
    add(r, path, what, buf_str(&text), redactions);
}

static int write_file(const char *file, struct str content)
{
    AUTO_FD int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    while (content.n) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        content = str_sub(content, (size_t)n, content.n);
    }
    return 0;
}

int bug_report_write(struct bug_report *r, const char *file)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *manifest = json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:O,s:O}", "apiVersion", "fairlead.dev/v1", "kind", "BugReport",
        "version", FAIRLEAD_VERSION, "time", (json_int_t)r->time_s, "redactions",
        (json_int_t)r->redactions, "files", r->files, "leftOut", r->left_out);
    struct err err = {0};
    json_write_indented(&text, manifest);
    buf_add_char(&text, '\n');
    r->tar.cap += text.n + 4096; /* it has its place */
    int code = tar_add(&r->tar, "manifest.json", r->time_s, buf_str(&text), &err);
    tar_end(&r->tar);
    if (code < 0 || r->tar.failed)
        return program_fail(EXIT_FAILED, NULL, "the archive: %s", err_text(&err));
    code = write_file(file, buf_str(&r->tar));
    if (code < 0)
        return program_fail(EXIT_FAILED, "--output names another one", "%s: %s", file,
                            strerror(-code));
    return -1;
}
