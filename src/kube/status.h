#pragma once
/* metav1.Status: what the API answers when it does not answer with an object. */

#include "kube/validate.h"

struct kind;

/* An answer in the making. Owns its strings; zeroed is empty. */
struct api_status {
    int code;           /* HTTP */
    const char *reason; /* NotFound, … */
    char *message;
    const char *kind;   /* details: the resource ("pods"), or the kind for Invalid */
    const char *group;
    char *name;
    char *uid;
    int retry_after_s;
    struct field_errors causes;
};

void api_status_done(struct api_status *s);
/* Fills code, reason (by code, unless given) and message; returns code. */
int api_status_set(struct api_status *s, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *api_reason(int code);

/* The usual ones: `pods "x" not found`, … */
int api_not_found(struct api_status *s, const struct kind *k, const char *name);
int api_already_exists(struct api_status *s, const struct kind *k, const char *name);
int api_conflict(struct api_status *s, const struct kind *k, const char *name, const char *why);
int api_forbidden(struct api_status *s, const struct kind *k, const char *name, const char *why);
/* Takes the errors. */
int api_invalid(struct api_status *s, const struct kind *k, const char *name, struct field_errors *errors);

/* The JSON of a failure. */
json_t *api_status_json(const struct api_status *s);
