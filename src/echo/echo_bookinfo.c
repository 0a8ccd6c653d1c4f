/* --as productpage, details, ratings, reviews-v1 to -v3: Istio's bookinfo, port 9080.
 *
 * They call one another as the originals do, by the Services' names or what SERVICES_DOMAIN,
 * DETAILS_HOSTNAME, RATINGS_HOSTNAME, REVIEWS_HOSTNAME and their _SERVICE_PORT say: productpage
 * asks details and reviews, reviews-v2 and -v3 ask ratings; what nobody answers is told in the
 * originals' words. The page is plain HTML with the same facts; logging in and out is not here. */
#include <errno.h>
#include <stdlib.h>

#include "echo/echo_modes.h"

enum { BOOKINFO_PORT = 9080 };

static void not_found(struct echo *e, struct http_exchange *x, struct str path)
{
    (void)path;
    echo_reply_text(e, x, 404, "not found\n");
}

static void health(struct echo *e, struct http_exchange *x, const char *who)
{
    AUTO_CHARS char *text = xasprintf("%s is healthy", who);
    AUTO_JSON json_t *j = json_pack("{s:s}", "status", text);
    echo_reply_json(e, x, 200, j);
}

/* The part of another service. Its host name stands until some more are made: it is copied when it
 * is asked. */
static struct echo_part part_of(const char *service, const char *env, const char *port_env,
                                const char *target)
{
    static char hosts[ECHO_PARTS_MAX * 2][256];
    static size_t n;
    const char *host = getenv(env), *domain = getenv("SERVICES_DOMAIN"), *port = getenv(port_env);
    char *text = hosts[n++ % ARRAY_LEN(hosts)];
    snprintf(text, sizeof(hosts[0]), "%s%s%s", host ? host : service, str_empty(domain) ? "" : ".",
             str_empty(domain) ? "" : domain);
    uint16_t number = port ? echo_port_parse(port) : 0;
    return (struct echo_part){
        .host = text, .port = number ? number : BOOKINFO_PORT, .target = target};
}

/* ---- details, ratings ---- */

static void details_health(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    health(e, x, "Details");
}

static void details(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t id;
    if (str_to_u64(argument, &id) < 0) {
        echo_reply_text(e, x, 400, "{\"error\":\"please provide numeric product id\"}");
        return;
    }
    AUTO_JSON json_t *j = json_pack(
        "{s:I,s:s,s:i,s:s,s:i,s:s,s:s,s:s,s:s}", "id", (json_int_t)id, "author",
        "William Shakespeare", "year", 1595, "type", "paperback", "pages", 200, "publisher",
        "PublisherA", "language", "English", "ISBN-10", "1234567890", "ISBN-13", "123-1234567890");
    echo_reply_json(e, x, 200, j);
}

static void ratings_health(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    health(e, x, "Ratings");
}

static void ratings(struct echo *e, struct http_exchange *x, struct str argument)
{
    uint64_t id;
    if (str_to_u64(argument, &id) < 0) {
        echo_reply_text(e, x, 400, "{\"error\":\"please provide numeric product ID\"}");
        return;
    }
    AUTO_JSON json_t *j = json_pack("{s:I,s:{s:i,s:i}}", "id", (json_int_t)id, "ratings",
                                    "Reviewer1", 5, "Reviewer2", 4);
    echo_reply_json(e, x, 200, j);
}

/* ---- reviews ---- */

static const char *color_of(const struct echo *e)
{
    return e->options->mode == &echo_bookinfo_reviews_v1   ? NULL
           : e->options->mode == &echo_bookinfo_reviews_v2 ? "black"
                                                           : "red";
}

static json_t *review(const char *reviewer, const char *text, const char *color,
                      const json_t *stars)
{
    json_t *j = json_pack("{s:s,s:s}", "reviewer", reviewer, "text", text);
    const json_t *own = json_object_get(stars, reviewer);
    if (color && own)
        json_object_set_new(j, "rating", json_pack("{s:O,s:s}", "stars", own, "color", color));
    else if (color)
        json_object_set_new(
            j, "rating", json_pack("{s:s}", "error", "Ratings service is currently unavailable"));
    return j;
}

static void reviews_with(struct echo *e, struct http_exchange *x, const struct echo_part *parts,
                         struct str argument)
{
    AUTO_JSON json_t *rated = NULL;
    const char *color = color_of(e);
    if (parts && parts->status == 200 &&
        json_parse(buf_str(&parts->body), 1024 * 1024, NULL, &rated, NULL) < 0)
        rated = NULL;
    const json_t *stars = json_at(rated, "ratings");
    AUTO_JSON json_t *j = json_pack(
        "{s:o,s:s,s:s,s:[o,o]}", "id", echo_text_json(argument), "podname", e->options->name,
        "clustername", "null", "reviews",
        review("Reviewer1",
               "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
               color, stars),
        review("Reviewer2",
               "Absolutely fun and entertaining. The play lacks thematic depth when compared to "
               "other plays by Shakespeare.",
               color, stars));
    echo_reply_json(e, x, 200, j);
}

static void reviews(struct echo *e, struct http_exchange *x, struct str argument)
{
    const struct echo_part asked =
        part_of("ratings", "RATINGS_HOSTNAME", "RATINGS_SERVICE_PORT", "/ratings/0");
    if (color_of(e))
        echo_gather(e, x, &asked, 1, argument, reviews_with);
    else
        reviews_with(e, x, NULL, argument);
}

static void reviews_health(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    health(e, x, "Reviews");
}

/* ---- productpage ---- */

#define SUMMARY                                                                                    \
    "Wikipedia Summary: The Comedy of Errors is one of William Shakespeare's early plays. It is "  \
    "his shortest and one of his most farcical comedies."

static json_t *json_of(const struct echo_part *part)
{
    json_t *j = NULL;
    return part->status == 200 && json_parse(buf_str(&part->body), 1024 * 1024, NULL, &j, NULL) == 0
               ? j
               : NULL;
}

static void add_html(struct buf *b, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++) {
        if (*p == '<')
            buf_add_str(b, STR("&lt;"));
        else if (*p == '&')
            buf_add_str(b, STR("&amp;"));
        else
            buf_add_char(b, *p);
    }
}

static void add_details(struct buf *b, const json_t *d)
{
    static const char *const rows[] = {"type",     "pages",   "publisher",
                                       "language", "ISBN-10", "ISBN-13"};
    if (!d) {
        buf_add_str(b,
                    STR("<h4>Error fetching product details!</h4>\n<p>Sorry, product details are "
                        "currently unavailable for this book.</p>\n"));
        return;
    }
    buf_add_str(b, STR("<h4>Book Details</h4>\n<dl>\n"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const json_t *v = json_object_get(d, rows[i]);
        buf_addf(b, "<dt>%s:</dt>", rows[i]);
        if (json_is_integer(v))
            buf_addf(b, "%lld\n", (long long)json_integer_value(v));
        else
            add_html(b, json_string_value(v));
    }
    buf_add_str(b, STR("</dl>\n"));
}

static void add_reviews(struct buf *b, const json_t *r)
{
    json_t *one;
    size_t i;
    if (!r) {
        buf_add_str(b,
                    STR("<h4>Error fetching product reviews!</h4>\n<p>Sorry, product reviews are "
                        "currently unavailable for this book.</p>\n"));
        return;
    }
    buf_add_str(b, STR("<h4>Book Reviews</h4>\n"));
    json_array_foreach(json_object_get(r, "reviews"), i, one)
    {
        const char *color = json_at_str(one, "rating.color");
        buf_add_str(b, STR("<blockquote><p>"));
        add_html(b, json_key_str(one, "text"));
        buf_add_str(b, STR("</p><small>"));
        add_html(b, json_key_str(one, "reviewer"));
        buf_add_str(b, STR("</small>"));
        if (color) {
            buf_addf(b, "<font color=\"%s\">", color);
            for (int64_t s = MIN(json_at_int(one, "rating.stars", 0), (int64_t)5); s > 0; s--)
                buf_add_str(b, STR("<span class=\"glyphicon glyphicon-star\"></span>"));
            buf_add_str(b, STR("</font>"));
        } else {
            add_html(b, json_at_str(one, "rating.error"));
        }
        buf_add_str(b, STR("</blockquote>\n"));
    }
    buf_add_str(b, STR("<dl><dt>Reviews served by:</dt>"));
    add_html(b, json_key_str(r, "podname"));
    buf_add_str(b, STR("</dl>\n"));
}

static void page_with(struct echo *e, struct http_exchange *x, const struct echo_part *parts,
                      struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *book = json_of(&parts[0]);
    AUTO_JSON json_t *reviewed = json_of(&parts[1]);
    AUTO_DONE(buf) struct buf b = {0};
    buf_add_str(&b,
                STR("<!DOCTYPE html>\n<html>\n<head><title>Simple Bookstore App</title></head>\n"
                    "<body>\n<h3>The Comedy of Errors</h3>\n<p>" SUMMARY "</p>\n"));
    add_details(&b, book);
    add_reviews(&b, reviewed);
    buf_add_str(&b, STR("</body>\n</html>\n"));
    echo_reply(e, x, 200, "text/html; charset=utf-8", buf_str(&b));
}

static void page(struct echo *e, struct http_exchange *x, struct str argument)
{
    const struct echo_part asked[] = {
        part_of("details", "DETAILS_HOSTNAME", "DETAILS_SERVICE_PORT", "/details/0"),
        part_of("reviews", "REVIEWS_HOSTNAME", "REVIEWS_SERVICE_PORT", "/reviews/0")};
    echo_gather(e, x, asked, ARRAY_LEN(asked), argument, page_with);
}

static void page_index(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply(
        e, x, 200, "text/html; charset=utf-8",
        STR("<!DOCTYPE html>\n<html>\n<head><title>Simple Bookstore App</title></head>\n<body>"
            "<a href=\"/productpage\">Book page</a></body>\n</html>\n"));
}

static void page_health(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    echo_reply_text(e, x, 200, "Product page is healthy");
}

/* The answer of one other service, passed on. */
static void pass_on(struct echo *e, struct http_exchange *x, const struct echo_part *parts,
                    struct str argument)
{
    (void)argument;
    if (parts->status)
        echo_reply(e, x, parts->status, "application/json", buf_str(&parts->body));
    else
        echo_reply_text(e, x, 503, "{\"error\": \"Sorry, it is currently unavailable.\"}");
}

static void api(struct echo *e, struct http_exchange *x, struct str argument)
{
    struct str what, id = str_cut(argument, '/', &what);
    struct echo_part asked;
    (void)id;
    if (str_is(what, "reviews"))
        asked = part_of("reviews", "REVIEWS_HOSTNAME", "REVIEWS_SERVICE_PORT", "/reviews/0");
    else if (str_is(what, "ratings"))
        asked = part_of("ratings", "RATINGS_HOSTNAME", "RATINGS_SERVICE_PORT", "/ratings/0");
    else
        asked = part_of("details", "DETAILS_HOSTNAME", "DETAILS_SERVICE_PORT", "/details/0");
    echo_gather(e, x, &asked, 1, argument, pass_on);
}

static void products(struct echo *e, struct http_exchange *x, struct str argument)
{
    (void)argument;
    AUTO_JSON json_t *j = json_pack("[{s:i,s:s,s:s}]", "id", 0, "title", "The Comedy of Errors",
                                    "descriptionHtml", SUMMARY);
    echo_reply_json(e, x, 200, j);
}

static const struct echo_path details_paths[] = {{"/health", true, details_health},
                                                 {"/details/", false, details}};
static const struct echo_path ratings_paths[] = {{"/health", true, ratings_health},
                                                 {"/ratings/", false, ratings}};
static const struct echo_path reviews_paths[] = {{"/health", true, reviews_health},
                                                 {"/reviews/", false, reviews}};
static const struct echo_path page_paths[] = {{"/", false, page_index},
                                              {"/index.html", false, page_index},
                                              {"/health", true, page_health},
                                              {"/productpage", false, page},
                                              {"/api/v1/products", false, products},
                                              {"/api/v1/products/", false, api}};

#define BOOKINFO(variable, mode, table)                                                            \
    const struct echo_mode variable = {.name = mode,                                               \
                                       .http = BOOKINFO_PORT,                                      \
                                       .paths = table,                                             \
                                       .n_paths = ARRAY_LEN(table),                                \
                                       .answer = not_found}
BOOKINFO(echo_bookinfo_product, "productpage", page_paths);
BOOKINFO(echo_bookinfo_details, "details", details_paths);
BOOKINFO(echo_bookinfo_ratings, "ratings", ratings_paths);
BOOKINFO(echo_bookinfo_reviews_v1, "reviews-v1", reviews_paths);
BOOKINFO(echo_bookinfo_reviews_v2, "reviews-v2", reviews_paths);
BOOKINFO(echo_bookinfo_reviews_v3, "reviews-v3", reviews_paths);
