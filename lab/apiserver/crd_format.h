#pragma once
/* The formats of OpenAPI that a real API server checks in custom objects; unknown ones hold for
 * everything. */

#include <stdbool.h>

bool crd_format_fits(const char *format, const char *text);
bool crd_format_holds(const char *format, double number);
/* Is it one that is checked, here or by a real server? */
bool crd_format_is_known(const char *format);
