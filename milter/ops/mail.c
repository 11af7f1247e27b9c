#include "ops/mail.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 10000L
#define WHOLE_MS 30000L
#define URL_BYTES 300
#define ADDRESS_BYTES 260

/* What is left to send. */
struct upload {
    const char *p;
    size_t len;
};

static size_t give(char *out, size_t size, size_t count, void *context)
{
    struct upload *upload = context;
    size_t len = size * count < upload->len ? size * count : upload->len;
    memcpy(out, upload->p, len);
    upload->p += len;
    upload->len -= len;
    return len;
}

/* libcurl asks about once a second, whatever it waits for. */
static int must_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load((const atomic_bool *)context) ? 1 : 0;
}

/* The message with its header and CRLF line ends (RFC 5322); NULL without memory. */
static char *compose(const struct cm_mail *mail, size_t *out_len)
{
    char date[64];
    char host[256] = "localhost";
    char *message = NULL;
    struct tm broken;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    (void)gethostname(host, sizeof(host) - 1); /* else the name above */
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&now.tv_sec, &broken)); /* it fits */
    FILE *stream = open_memstream(&message, out_len);
    if (stream == NULL) {
        return NULL;
    }
    (void)fprintf(stream,
                  "Date: %s\r\nFrom: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%lld.%ld.%d@%s>\r\n"
                  "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
                  "charset=us-ascii\r\n\r\n",
                  date, mail->from, mail->to, mail->subject, (long long)now.tv_sec, now.tv_nsec, (int)getpid(),
                  host); /* fclose tells of trouble, here and below */
    for (const char *p = mail->text; *p != '\0'; p++) {
        (void)fputs(*p == '\n' ? "\r\n" : (const char[]){*p, '\0'}, stream);
    }
    if (fclose(stream) != 0) {
        free(message);
        return NULL;
    }
    return message;
}

static CURLcode set_up(CURL *curl, const struct cm_mail *mail, const struct curl_slist *recipients,
                       struct upload *upload, const atomic_bool *stop)
{
    char url[URL_BYTES];
    char from[ADDRESS_BYTES];
    if (snprintf(url, sizeof(url), "smtp://%s", mail->server) >= (int)sizeof(url) ||
        snprintf(from, sizeof(from), "<%s>", mail->from) >= (int)sizeof(from)) {
        return CURLE_URL_MALFORMAT;
    }
    CURLcode results[] = {
        curl_easy_setopt(curl, CURLOPT_URL, url), /* texts are copied */
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp"),
        curl_easy_setopt(curl, CURLOPT_PROXY, ""), /* whatever the environment says */
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L),
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS),
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, WHOLE_MS),
        curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from),
        curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients),
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L),
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, give),
        curl_easy_setopt(curl, CURLOPT_READDATA, upload),
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L),
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, must_stop),
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, stop),
    };
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (results[i] != CURLE_OK) {
            return results[i];
        }
    }
    return CURLE_OK;
}

bool cm_mail_send(const struct cm_mail *mail, const atomic_bool *stop, struct cm_err *err)
{
    char to[ADDRESS_BYTES];
    char why[CURL_ERROR_SIZE] = "";
    size_t len = 0;
    bool fits = snprintf(to, sizeof(to), "<%s>", mail->to) < (int)sizeof(to);
    char *message = compose(mail, &len);
    struct upload upload = {.p = message, .len = len};
    struct curl_slist *recipients = curl_slist_append(NULL, to);
    CURL *curl = curl_easy_init();
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (fits && message != NULL && recipients != NULL && curl != NULL &&
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why) == CURLE_OK) {
        code = set_up(curl, mail, recipients, &upload, stop);
        code = code == CURLE_OK ? curl_easy_perform(curl) : code;
    }
    if (code != CURLE_OK) {
        cm_err_set(err, "%s did not take a mail to %s: %s", mail->server, mail->to,
                   why[0] != '\0' ? why : curl_easy_strerror(code));
    }
    curl_easy_cleanup(curl); /* NULL is harmless, here and below */
    curl_slist_free_all(recipients);
    free(message);
    return code == CURLE_OK;
}
