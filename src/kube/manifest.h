#pragma once
/* Manifests from files: YAML or JSON documents into objects. */

#include "codec/json.h"

/* Every object of a text, Lists unfolded, appended to the array into. Each is known to have
 * apiVersion, kind and metadata.name (or generateName). Errors tell origin (a file's name, NULL =
 * none), the document and the field. */
int manifest_parse(struct str text, const char *origin, json_t *into, struct err *reterr) NODISCARD;
/* A file, "-" for standard input, or every .yaml, .yml and .json of a directory in the order of
 * their names. At most MANIFEST_BYTES_MAX a file. */
int manifest_read(const char *path, json_t *into, struct err *reterr) NODISCARD;

/* fn with the text of each file that path stands for, as manifest_read takes it; recursive: those
 * of directories in directories, too. The first negative answer of fn ends it and is returned. */
typedef int manifest_file_fn(const char *file, struct str text, void *user, struct err *reterr);
int manifest_for_files(const char *path, bool recursive, manifest_file_fn *fn, void *user,
                       struct err *reterr) NODISCARD;

enum { MANIFEST_BYTES_MAX = 64 * 1024 * 1024 };
