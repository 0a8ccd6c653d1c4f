#pragma once
/* The modes, by family. */

#include "echo/echo.h"

extern const struct echo_mode echo_agnhost;
extern const struct echo_mode echo_podinfo;
extern const struct echo_mode echo_whoami;
extern const struct echo_mode echo_kuard;
extern const struct echo_mode echo_server_json;
extern const struct echo_mode echo_server_text;
extern const struct echo_mode echo_httpbin;
extern const struct echo_mode echo_go_httpbin;
extern const struct echo_mode echo_bookinfo_product;
extern const struct echo_mode echo_bookinfo_details;
extern const struct echo_mode echo_bookinfo_ratings;
extern const struct echo_mode echo_bookinfo_reviews_v1;
extern const struct echo_mode echo_bookinfo_reviews_v2;
extern const struct echo_mode echo_bookinfo_reviews_v3;
