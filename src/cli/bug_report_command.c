/* fairlead bug-report: one file that says what somebody who helps would ask for, and no secret. */
#include <stdio.h>
#include <time.h>

#include "cli/bug_report.h"
#include "cli/view_token.h"

/* fairlead-bug-report-20260102-150405.tar, owned. */
static char *default_file(uint64_t time_s)
{
    char text[64];
    struct tm tm;
    time_t t = (time_t)time_s;
    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "fairlead-bug-report-%Y%m%d-%H%M%S.tar", &tm);
    return xstrdup(text);
}

static int collect(struct bug_report *r, struct cli_session *s, bool machine_only)
{
    bug_report_add_machine(r);
    if (machine_only) {
        bug_report_left_out(r, "cluster/", "--machine-only");
        return -1;
    }
    int code = cli_session_open(s);
    if (code >= 0)
        return code;
    bug_report_add_cluster(r, s);
    return -1;
}

static void tell(const struct bug_report *r, const char *file)
{
    json_t *one;
    size_t i;
    json_array_foreach(r->left_out, i, one)
        fprintf(stderr, "left out: %s: %s\n", json_key_str(one, "path"), json_key_str(one, "why"));
    if (!r->dry_run)
        printf("%s: %zu files, %zu KiB, %zu secrets left out. Look into it before you send it: "
               "tar tf %s\n",
               file, json_array_size(r->files), r->tar.n / 1024, r->redactions, file);
}

int cli_bug_report(int argc, char **argv)
{
    struct cli_session s = {0};
    struct bug_report r;
    const char *output = NULL;
    bool machine_only = false;
    bug_report_init(&r);
    struct arg args[] = {
        CLI_SESSION_ARGS(&s),
        VIEW_ARGS(&s),
        {"output", 'o', ARG_STRING, &output, "FILE",
         "the archive (default fairlead-bug-report-DATE-TIME.tar); must not be there", 0, 0, false},
        {"dry-run", 0, ARG_BOOL, &r.dry_run, NULL, "say what would be in it, and take nothing", 0,
         0, false},
        {"machine-only", 0, ARG_BOOL, &machine_only, NULL, "of this machine alone, no cluster", 0,
         0, false},
        {"control-namespace", 0, ARG_STRING, &r.control_namespace, "NS",
         "where our pods are (default fairlead-system)", 0, 0, false},
        {"proxies", 0, ARG_INT, &r.proxies_max, "N", "at most so many proxies (default 20)", 0,
         1000, false},
        {"log-lines", 0, ARG_INT, &r.log_lines, "N", "the last N lines of each log (default 2000)",
         0, 100000, false},
        {.name = NULL},
    };
    const struct program p = {"fairlead bug-report",
                              "makes an archive for who helps: states, configurations, logs, no "
                              "secrets",
                              "[flags]",
                              "  fairlead bug-report --dry-run\n"
                              "  fairlead bug-report -o report.tar && tar tf report.tar\n",
                              args,
                              false};
    AUTO_CHARS char *file = NULL;
    int code = program_start(&p, argc, argv, NULL, NULL);
    if (code < 0) {
        file = output ? xstrdup(output) : default_file(r.time_s);
        code = collect(&r, &s, machine_only);
    }
    if (code < 0 && !r.dry_run)
        code = bug_report_write(&r, file);
    if (code < 0) {
        tell(&r, file);
        code = EXIT_OK;
    }
    if (s.client)
        cli_session_close(&s);
    bug_report_done(&r);
    return code;
}
