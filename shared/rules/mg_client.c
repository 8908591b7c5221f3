/* mg_client.c - what a User-Agent field says, by a table. */
#include "mg_client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define BROWSER "browser"
#define MOBILE "mobile browser"
#define EMAIL "email client"
#define ROBOT "robot"
#define LIBRARY "library"
#define UNKNOWN "unknown"
#define APPLE_MAIL "Apple Mail"

/* The first whose word stands in the field says who it is. Words are in lower
 * case. Robots come first: most of them say the name of a browser too. */
static const struct {
    const char *word, *name, *type;
    int machine;
} clients[] = {
    /* mail proxies: one that fetches when its user opens the mail is he */
    { "googleimageproxy", "Gmail", EMAIL, 0 },
    { "ggpht.com", "Gmail", EMAIL, 0 },
    { "yahoomailproxy", "Yahoo Mail", EMAIL, 0 },
    { "yahoo! slurp", "Yahoo Slurp", ROBOT, 1 },

    /* scanners of links and of mail */
    { "barracuda", "Barracuda", ROBOT, 1 },
    { "proofpoint", "Proofpoint", ROBOT, 1 },
    { "mimecast", "Mimecast", ROBOT, 1 },
    { "safelinks", "Safe Links", ROBOT, 1 },
    { "messagelabs", "MessageLabs", ROBOT, 1 },
    { "symantec", "Symantec", ROBOT, 1 },
    { "trendmicro", "Trend Micro", ROBOT, 1 },
    { "trend micro", "Trend Micro", ROBOT, 1 },
    { "mcafee", "McAfee", ROBOT, 1 },
    { "sophos", "Sophos", ROBOT, 1 },
    { "fireeye", "FireEye", ROBOT, 1 },
    { "forcepoint", "Forcepoint", ROBOT, 1 },
    { "websense", "Forcepoint", ROBOT, 1 },
    { "ironport", "IronPort", ROBOT, 1 },
    { "zscaler", "Zscaler", ROBOT, 1 },
    { "cloudmark", "Cloudmark", ROBOT, 1 },
    { "urldefense", "URL Defense", ROBOT, 1 },
    { "kaspersky", "Kaspersky", ROBOT, 1 },
    { "bitdefender", "Bitdefender", ROBOT, 1 },
    { "phishtank", "PhishTank", ROBOT, 1 },
    { "virustotal", "VirusTotal", ROBOT, 1 },
    { "headlesschrome", "Chrome, headless", ROBOT, 1 },
    { "phantomjs", "PhantomJS", ROBOT, 1 },
    { "google web preview", "Google Web Preview", ROBOT, 1 },
    { "googlebot", "Googlebot", ROBOT, 1 },
    { "google-safety", "Google-Safety", ROBOT, 1 },
    { "mediapartners-google", "Mediapartners-Google", ROBOT, 1 },
    { "bingpreview", "BingPreview", ROBOT, 1 },
    { "bingbot", "Bingbot", ROBOT, 1 },
    { "facebookexternalhit", "Facebook", ROBOT, 1 },
    { "whatsapp", "WhatsApp", ROBOT, 1 },
    { "skypeuripreview", "Skype URI Preview", ROBOT, 1 },
    { "slackbot", "Slackbot", ROBOT, 1 },
    { "telegrambot", "TelegramBot", ROBOT, 1 },
    { "twitterbot", "Twitterbot", ROBOT, 1 },
    { "linkedinbot", "LinkedInBot", ROBOT, 1 },
    { "discordbot", "Discordbot", ROBOT, 1 },
    { "yandexbot", "YandexBot", ROBOT, 1 },
    { "baiduspider", "Baiduspider", ROBOT, 1 },
    { "bot/", "a robot", ROBOT, 1 },
    { "bot;", "a robot", ROBOT, 1 },
    { "crawler", "a robot", ROBOT, 1 },
    { "spider", "a robot", ROBOT, 1 },
    { "scanner", "a scanner", ROBOT, 1 },
    { "preview", "a previewer", ROBOT, 1 },

    /* programs that somebody wrote */
    { "curl/", "curl", LIBRARY, 1 },
    { "wget/", "Wget", LIBRARY, 1 },
    { "python", "Python", LIBRARY, 1 },
    { "aiohttp", "Python", LIBRARY, 1 },
    { "go-http-client", "Go", LIBRARY, 1 },
    { "java/", "Java", LIBRARY, 1 },
    { "apache-httpclient", "Java", LIBRARY, 1 },
    { "okhttp", "OkHttp", LIBRARY, 1 },
    { "libwww-perl", "Perl", LIBRARY, 1 },
    { "lwp::", "Perl", LIBRARY, 1 },
    { "php/", "PHP", LIBRARY, 1 },
    { "guzzlehttp", "PHP", LIBRARY, 1 },
    { "ruby", "Ruby", LIBRARY, 1 },
    { "node-fetch", "Node.js", LIBRARY, 1 },
    { "axios/", "Node.js", LIBRARY, 1 },
    { "undici", "Node.js", LIBRARY, 1 },
    { "winhttp", "WinHTTP", LIBRARY, 1 },
    { "microsoft url control", "Microsoft URL Control", LIBRARY, 1 },
    { "powershell", "PowerShell", LIBRARY, 1 },

    /* mail programs */
    { "thunderbird", "Thunderbird", EMAIL, 0 },
    { "betterbird", "Betterbird", EMAIL, 0 },
    { "icedove", "Icedove", EMAIL, 0 },
    { "outlook-ios", "Outlook", EMAIL, 0 },
    { "outlook-android", "Outlook", EMAIL, 0 },
    { "outlook-express", "Outlook Express", EMAIL, 0 },
    { "outlook", "Outlook", EMAIL, 0 },
    { "msoffice", "Outlook", EMAIL, 0 },
    { "ms-office", "Outlook", EMAIL, 0 },
    { "microsoft office", "Microsoft Office", EMAIL, 0 },
    { "windows live mail", "Windows Live Mail", EMAIL, 0 },
    { "lotus-notes", "Lotus Notes", EMAIL, 0 },
    { "evolution/", "Evolution", EMAIL, 0 },
    { "kmail", "KMail", EMAIL, 0 },
    { "claws mail", "Claws Mail", EMAIL, 0 },
    { "postbox/", "Postbox", EMAIL, 0 },
    { "airmail", "Airmail", EMAIL, 0 },
    { "sparrow/", "Sparrow", EMAIL, 0 },
    { "the bat!", "The Bat!", EMAIL, 0 },
    { "emclient", "eM Client", EMAIL, 0 },
    { "em client", "eM Client", EMAIL, 0 },
    { "mailbird", "Mailbird", EMAIL, 0 },
    { "samsung email", "Samsung Email", EMAIL, 0 },
    { "k-9 mail", "K-9 Mail", EMAIL, 0 },
    { "bluemail", "BlueMail", EMAIL, 0 },

    /* browsers: those that also say "Chrome" or "Safari" before these */
    { "edg/", "Edge", BROWSER, 0 },
    { "edge/", "Edge", BROWSER, 0 },
    { "edga/", "Edge", BROWSER, 0 },
    { "edgios/", "Edge", BROWSER, 0 },
    { "opr/", "Opera", BROWSER, 0 },
    { "opera mini", "Opera Mini", BROWSER, 0 },
    { "opera", "Opera", BROWSER, 0 },
    { "vivaldi/", "Vivaldi", BROWSER, 0 },
    { "yabrowser/", "Yandex Browser", BROWSER, 0 },
    { "samsungbrowser/", "Samsung Internet", BROWSER, 0 },
    { "ucbrowser/", "UC Browser", BROWSER, 0 },
    { "silk/", "Amazon Silk", BROWSER, 0 },
    { "duckduckgo/", "DuckDuckGo", BROWSER, 0 },
    { "fxios/", "Firefox", BROWSER, 0 },
    { "seamonkey/", "SeaMonkey", BROWSER, 0 },
    { "firefox/", "Firefox", BROWSER, 0 },
    { "crios/", "Chrome", BROWSER, 0 },
    { "chromium/", "Chromium", BROWSER, 0 },
    { "chrome/", "Chrome", BROWSER, 0 },
    { "gsa/", "Google app", BROWSER, 0 },
    { "msie ", "Internet Explorer", BROWSER, 0 },
    { "trident/", "Internet Explorer", BROWSER, 0 },
    { "konqueror", "Konqueror", BROWSER, 0 },
    { "epiphany/", "Epiphany", BROWSER, 0 },
    { "blackberry", "BlackBerry", BROWSER, 0 },
    { "android", "Android Browser", BROWSER, 0 },
    { "safari/", "Safari", BROWSER, 0 },
    /* WebKit and no browser: the mail program that Apple ships */
    { "applewebkit/", APPLE_MAIL, EMAIL, 0 },
    { "lynx/", "Lynx", BROWSER, 0 },
    { "w3m/", "w3m", BROWSER, 0 },
    { "gecko/", "Mozilla", BROWSER, 0 },
};

static const struct {
    const char *word, *os, *device;  /* device NULL: Mobile says it, or not */
} systems[] = {
    { "windows phone", "Windows Phone", "mobile" },
    { "windows", "Windows", "desktop" },
    { "win64", "Windows", "desktop" },
    { "ipad", "iOS", "tablet" },
    { "iphone", "iOS", "mobile" },
    { "ipod", "iOS", "mobile" },
    { "outlook-ios", "iOS", "mobile" },
    { "outlook-android", "Android", "mobile" },
    { "kindle", "Fire OS", "tablet" },
    { "silk/", "Fire OS", "tablet" },
    { "android", "Android", NULL },
    { "blackberry", "BlackBerry OS", "mobile" },
    { "bb10", "BlackBerry OS", "mobile" },
    { "symbian", "Symbian", "mobile" },
    { "cros ", "Chrome OS", "desktop" },
    { "mac os x", "OS X", "desktop" },
    { "macintosh", "OS X", "desktop" },
    { "darwin/", "OS X", "desktop" },
    { "smart-tv", "unknown", "other" },
    { "playstation", "PlayStation", "other" },
    { "nintendo", "Nintendo", "other" },
    { "freebsd", "FreeBSD", "desktop" },
    { "openbsd", "OpenBSD", "desktop" },
    { "linux", "Linux", "desktop" },
    { "x11", "Unix", "desktop" },
};

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* A field, in lower case, and which pairs of letters stand in it: nearly all
 * of the words have one that does not, and need not be searched for. */
typedef struct {
    char text[MG_USER_AGENT_MAX + 1];
    unsigned char pairs[128];  /* a bit for each of 1024 sorts of pairs */
} field_t;

static unsigned sort_of(const char *pair)
{
    return ((unsigned char)pair[0] * 31u ^ (unsigned char)pair[1] * 257u)
           & 1023u;
}

static void note_pairs(field_t *field)
{
    const char *c;
    unsigned sort;

    memset(field->pairs, 0, sizeof(field->pairs));
    for (c = field->text; *c; c++) {
        sort = sort_of(c);
        field->pairs[sort >> 3] |= (unsigned char)(1u << (sort & 7));
    }
}

static int has(const field_t *field, const char *word)
{
    const char *c;
    unsigned sort;

    for (c = word; c[0] && c[1]; c++) {
        sort = sort_of(c);
        if (!(field->pairs[sort >> 3] & 1u << (sort & 7)))
            return 0;
    }
    return strstr(field->text, word) != NULL;
}

static void find_client(mg_client_t *client, const field_t *field)
{
    int i;

    for (i = 0; i < COUNT(clients); i++) {
        if (!has(field, clients[i].word))
            continue;
        client->name = clients[i].name;
        client->type = clients[i].type;
        client->machine = clients[i].machine;
        return;
    }
}

static void find_system(mg_client_t *client, const field_t *field)
{
    int i;

    for (i = 0; i < COUNT(systems); i++) {
        if (!has(field, systems[i].word))
            continue;
        client->os = systems[i].os;
        /* "Mobile" is what Android's phones say and its tablets do not */
        client->device = systems[i].device ? systems[i].device
                         : has(field, "mobile") || has(field, "opera mini")
                             ? "mobile" : "tablet";
        return;
    }
}

/* What stands behind a proxy is not known: its field says what it likes. */
static int is_proxy(const mg_client_t *client, const field_t *field)
{
    return strcmp(client->type, EMAIL) == 0
           && (has(field, "proxy") || has(field, "ggpht.com"));
}

void mg_client_read(mg_client_t *client, const char *user_agent)
{
    field_t field;
    char *text = field.text;
    int i;

    client->type = client->name = client->os = client->device = UNKNOWN;
    client->machine = 0;
    for (i = 0; user_agent && user_agent[i] && i < MG_USER_AGENT_MAX; i++)
        text[i] = (char)apr_tolower(user_agent[i]);
    text[i] = '\0';
    if (!text[strspn(text, " \t-")]) {
        client->machine = 1; /* people have programs that say who they are */
        return;
    }
    /* Apple's Mail Privacy Protection fetches all images of all mail, through
     * a proxy that says this and no more. */
    if (!strcmp(text, "mozilla/5.0")) {
        client->type = EMAIL;
        client->name = APPLE_MAIL;
        client->machine = 1;
        return;
    }
    note_pairs(&field);
    find_client(client, &field);
    if (is_proxy(client, &field))
        return;
    find_system(client, &field);
    if (!strcmp(client->name, APPLE_MAIL) && strcmp(client->os, "OS X")
        && strcmp(client->os, "iOS")) {
        client->name = "WebKit";
        client->type = BROWSER;
    }
    if (!strcmp(client->type, BROWSER)
        && (!strcmp(client->device, "mobile")
            || !strcmp(client->device, "tablet")))
        client->type = MOBILE;
    if (client->type == (const char *)UNKNOWN && has(&field, "mozilla/"))
        client->type = BROWSER;
}
