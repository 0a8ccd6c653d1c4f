#pragma once
/* The archive of `fairlead bug-report`: files without secrets, and a manifest of what is in it and
 * what was left out. */

#include "cli/cli.h"

struct bug_report {
    struct buf tar;
    json_t *files, *left_out;
    uint64_t time_s;
    size_t redactions;
    bool dry_run; /* only tells */
    const char *control_namespace;
    int64_t proxies_max, log_lines;
};

void bug_report_init(struct bug_report *r);
void bug_report_done(struct bug_report *r);

/* True: get it, and add it. A dry run prints it and gets nothing. */
bool bug_report_wants(struct bug_report *r, const char *path, const char *what);
/* As wanted, without what is secret; too much of it is cut. */
void bug_report_add_text(struct bug_report *r, const char *path, const char *what, struct str text);
void bug_report_add_json(struct bug_report *r, const char *path, const char *what, json_t *j);
void bug_report_left_out(struct bug_report *r, const char *path, const char *why);
/* With the manifest. -1, or an exit code, told. */
int bug_report_write(struct bug_report *r, const char *file);

/* What of this machine can be told: versions, checks, the kernel's table, an agent that runs here.
 */
void bug_report_add_machine(struct bug_report *r);
/* What of the cluster: our pods, their logs, what they answer; proxies that are connected; Events.
 * An open session. */
void bug_report_add_cluster(struct bug_report *r, struct cli_session *s);

/* All of `fairlead check`, as it prints it with -o json. The caller owns it. */
json_t *cli_check_all(void);
