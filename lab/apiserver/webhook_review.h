#pragma once
/* AdmissionReview of admission.k8s.io/v1: what a webhook is asked, and what it says. Pure. */

#include "lab/apiserver/webhook_set.h"

enum { WEBHOOK_ANSWER_BYTES_MAX = 8 * 1024 * 1024, WEBHOOK_WARNINGS_MAX = 16 };

struct webhook_question {
    const char *uid;
    const struct api_kind *as; /* what it is asked as */
    const struct webhook_subject *subject;
    const char *name;     /* "": not known yet */
    json_t *object, *old; /* as `as` has them; NULL: null; borrowed */
    const char *user;
    char *const *groups;
    size_t n_groups;
    const json_t *options; /* {"kind":"CreateOptions",…}; borrowed */
    bool dry_run;
};

json_t *webhook_review(const struct webhook_question *q); /* new */

struct webhook_answer {
    bool allowed;
    json_t *status;   /* of a refusal; NULL: none */
    json_t *patch;    /* a JSON patch; NULL: none */
    json_t *warnings; /* of strings; NULL: none */
};
void webhook_answer_done(struct webhook_answer *a);

/* -EINVAL: it is no answer to that question; reterr has a real API server's words. */
int webhook_answer_read(struct str body, const char *uid, bool mutating, struct webhook_answer *ret,
                        struct err *reterr) NODISCARD;
