#pragma once
/* Validation: what the tables say (required, ranges, allowed values, formats), and the list of
 * field errors into which checks of single kinds add theirs. */

#include "base/vec.h"
#include "kube/schema.h"

struct field_error {
    const char *reason; /* FieldValueRequired, FieldValueInvalid, … */
    char *field;
    char *message;
};

enum { FIELD_ERRORS_MAX = 50 };

struct field_errors {
    struct field_error *v;
    size_t n;
    size_t cap;
};

void field_errors_done(struct field_errors *e);

/* Each adds one error; field is a format for the path that follows the fixed arguments. */
void error_required(struct field_errors *e, const char *detail, const char *field, ...)
    __attribute__((format(printf, 3, 4)));
/* value may be NULL: null. */
void error_invalid(struct field_errors *e, const json_t *value, const char *detail,
                   const char *field, ...) __attribute__((format(printf, 4, 5)));
void error_invalid_text(struct field_errors *e, const char *value, const char *detail,
                        const char *field, ...) __attribute__((format(printf, 4, 5)));
void error_duplicate(struct field_errors *e, const json_t *value, const char *field, ...)
    __attribute__((format(printf, 3, 4)));
void error_forbidden(struct field_errors *e, const char *detail, const char *field, ...)
    __attribute__((format(printf, 3, 4)));
/* allowed: "A|B|C". */
void error_unsupported(struct field_errors *e, const char *value, const char *allowed,
                       const char *field, ...) __attribute__((format(printf, 4, 5)));
void error_too_many(struct field_errors *e, size_t max, const char *field, ...)
    __attribute__((format(printf, 3, 4)));
void error_too_long(struct field_errors *e, size_t max, const char *field, ...)
    __attribute__((format(printf, 3, 4)));
/* The server's fault: answered as 500. */
void error_internal(struct field_errors *e, const char *detail, const char *field, ...)
    __attribute__((format(printf, 3, 4)));
void error_not_found(struct field_errors *e, const char *value, const char *field, ...)
    __attribute__((format(printf, 3, 4)));

/* "spec.ports: Required value", or "[a, b]" when there are several. */
void field_errors_format(const struct field_errors *e, struct buf *ret);

/* Everything the table knows. */
void schema_validate(const struct schema *s, const json_t *object, struct field_errors *e);

/* Shared formats and their messages. */
#define DNS1123_LABEL_MESSAGE                                                                      \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end "                                                                          \
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define DNS1123_SUBDOMAIN_MESSAGE                                                                  \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start "                                                                         \
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "    \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define QUALIFIED_NAME_MESSAGE                                                                     \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "  \
    "with an alphanumeric "                                                                        \
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "        \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define LABEL_VALUE_MESSAGE                                                                        \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and "                                                                     \
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used " \
    "for validation is "                                                                           \
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

/* values: "A|B|C". */
bool value_is_listed(const char *values, const char *v);
bool qualified_name_is_valid(struct str s);
/* One error if v is a string and no qualified name. */
void validate_qualified_name(const json_t *v, const char *path, struct field_errors *e);
bool label_value_is_valid(struct str s);
/* What is wrong with a name or an address; NULL: nothing. */
const char *port_name_detail(struct str s);
const char *dns1123_label_detail(struct str s); /* of one that is no label */
const char *legacy_ip_detail(struct str s);
const char *strict_ip_detail(struct str s);
const char *legacy_prefix_detail(struct str s);
/* Addresses that mean another machine on each machine must not become an endpoint's. */
const char *endpoint_ip_detail(struct str s);
