/* Those parts that are patterns: apart, for programs that read none need no engine of them. */
#include "model/object_reader.h"

#include "codec/regex.h"

bool reader_regex(struct object_reader *r, const char *field, const char *regex)
{
    AUTO(regex) struct regex *made = NULL;
    struct err err = {0};
    if (regex_new(str_from(regex), &made, &err) < 0)
        return reader_error(r, field, "write it in the language of RE2", "is no expression: %s",
                            err_text(&err));
    return true;
}

bool reader_comparison(struct object_reader *r, const json_t *j, bool may_be_empty,
                       struct route_header *ret)
{
    static const char *const names[] = {
        [ROUTE_IS] = "exact", [ROUTE_IS_LIKE] = "regex", [ROUTE_BEGINS_WITH] = "prefix"};
    const char *value = NULL;
    ret->how = ROUTE_IS_THERE;
    for (unsigned how = 0; how < ARRAY_LEN(names); how++) {
        const char *text = json_key_str(j, names[how]);
        if (!text)
            continue;
        if (value)
            return reader_error(r, NULL, "say it by several matches", "has %s and %s: one counts",
                                names[ret->how], names[how]);
        value = text;
        ret->how = (enum route_comparison)how;
    }
    if (!value && (!may_be_empty || (j && !json_is_object(j) && !json_is_null(j))))
        return reader_error(r, NULL, "say exact, prefix or regex", "says nothing to compare with");
    if (ret->how == ROUTE_IS_LIKE && !reader_regex(r, "regex", value))
        return false;
    if (ret->how == ROUTE_BEGINS_WITH && !*value) /* whatever it is, if it is there */
        ret->how = ROUTE_IS_THERE;
    ret->value = xstrdup(value ? value : "");
    return true;
}
