#include "net/resolv_conf.h"

#include <ctype.h>
#include <fcntl.h>
#include <unistd.h>

static struct str next_word(struct str *rest)
{
    size_t begin = 0, end;
    while (begin < rest->n && isspace((unsigned char)rest->p[begin]))
        begin++;
    for (end = begin; end < rest->n && !isspace((unsigned char)rest->p[end]);)
        end++;
    struct str word = str_sub(*rest, begin, end);
    *rest = str_sub(*rest, end, rest->n);
    return word;
}

static void add_server(struct resolv_conf *c, struct str word)
{
    if (c->n_servers < RESOLV_SERVERS_MAX && ip_parse(word, &c->servers[c->n_servers]) == 0)
        c->n_servers++;
}

static void drop_search(struct resolv_conf *c)
{
    while (c->n_search)
        free(c->search[--c->n_search]);
}

static void add_search(struct resolv_conf *c, struct str word)
{
    while (word.n && word.p[word.n - 1] == '.')
        word.n--;
    while (word.n && *word.p == '.')
        word = str_sub(word, 1, word.n);
    if (!word.n || c->n_search == RESOLV_SEARCH_MAX)
        return;
    char *name = str_dup(word);
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    c->search[c->n_search++] = name;
}

static void read_line(struct resolv_conf *c, struct str line)
{
    struct str word = next_word(&line);
    if (str_is(word, "nameserver")) {
        add_server(c, next_word(&line));
    } else if (str_is(word, "search") || str_is(word, "domain")) {
        drop_search(c);
        while ((word = next_word(&line)).n)
            add_search(c, word);
    }
}

void resolv_conf_parse(struct str text, struct resolv_conf *ret)
{
    *ret = (struct resolv_conf){.n_servers = 0};
    while (text.n)
        read_line(ret, str_cut(text, '\n', &text));
}

void resolv_conf_read(const char *path, struct resolv_conf *ret)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_CHARS char *text = xcalloc(RESOLV_CONF_BYTES_MAX, 1);
    size_t n = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0 && n < RESOLV_CONF_BYTES_MAX;) {
        got = read(fd, text + n, RESOLV_CONF_BYTES_MAX - n);
        n += (size_t)MAX(got, (ssize_t)0);
    }
    resolv_conf_parse(str_of(text, n), ret);
    if (!ret->n_servers)
        ret->servers[ret->n_servers++] = (struct ip){AF_INET, {127, 0, 0, 1}};
}

void resolv_conf_done(struct resolv_conf *c)
{
    drop_search(c);
}
