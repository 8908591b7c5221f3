/* test_client.c - what user agents say (mg_client.h). */
#include "unit_pool.h"
#include "mg_client.h"

static const struct {
    const char *user_agent, *type, *name, *os, *device;
    int machine;
} cases[] = {
    { "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via "
      "ggpht.com GoogleImageProxy)",
      "email client", "Gmail", "unknown", "unknown", 0 },
    { "Mozilla/5.0 (Windows; U; Windows NT 5.1; de; rv:1.9.0.7) "
      "Gecko/2009021910 Firefox/3.0.7 (via ggpht.com)",
      "email client", "Gmail", "unknown", "unknown", 0 },
    { "YahooMailProxy; "
      "https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
      "email client", "Yahoo Mail", "unknown", "unknown", 0 },
    { "Mozilla/5.0",
      "email client", "Apple Mail", "unknown", "unknown", 1 },
    { "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; "
      "Trident/7.0; .NET4.0C; .NET4.0E; Microsoft Outlook 16.0.4266; "
      "ms-office; MSOffice 16)",
      "email client", "Outlook", "Windows", "desktop", 0 },
    { "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
      "email client", "Outlook", "unknown", "unknown", 0 },
    { "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/4.0; "
      "SLCC2; .NET CLR 2.0.50727; MSOffice 12)",
      "email client", "Outlook", "Windows", "desktop", 0 },
    { "Microsoft Office/15.0 (Windows NT 6.2; Microsoft Outlook "
      "15.0.4420; Pro)",
      "email client", "Outlook", "Windows", "desktop", 0 },
    { "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook "
      "16.0.12026; Pro)",
      "email client", "Outlook", "Windows", "desktop", 0 },
    { "Microsoft Office/16.0 (Microsoft Outlook Mail 16.0.6228; Pro)",
      "email client", "Outlook", "unknown", "unknown", 0 },
    { "Outlook-iOS/709.2189947.prod.iphone (3.24.0)",
      "email client", "Outlook", "iOS", "mobile", 0 },
    { "Outlook-Android/2.0",
      "email client", "Outlook", "Android", "mobile", 0 },
    { "Outlook-Express/7.0 (MSIE 7.0; Windows NT 5.1; Trident/4.0; "
      "TmstmpExt)",
      "email client", "Outlook Express", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_2) "
      "AppleWebKit/537.75.14 (KHTML, like Gecko)",
      "email client", "Apple Mail", "OS X", "desktop", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko)",
      "email client", "Apple Mail", "OS X", "desktop", 0 },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 13_3 like Mac OS X) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
      "email client", "Apple Mail", "iOS", "mobile", 0 },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 7_0_4 like Mac OS X) "
      "AppleWebKit/537.51.1 (KHTML, like Gecko) Mobile/11B554a "
      "(405080064)",
      "email client", "Apple Mail", "iOS", "mobile", 0 },
    { "Mozilla/5.0 (iPad; CPU OS 7_1 like Mac OS X) AppleWebKit/537.51.2 "
      "(KHTML, like Gecko) Mobile/11D167",
      "email client", "Apple Mail", "iOS", "tablet", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, "
      "like Gecko) Chrome/112.0.0.0 Safari/537.36 Avast/112.0.21002.139",
      "browser", "Chrome", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:24.0) Gecko/20100101 "
      "Thunderbird/24.5.0",
      "email client", "Thunderbird", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 "
      "Thunderbird/102.11.0",
      "email client", "Thunderbird", "Linux", "desktop", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:78.0) "
      "Gecko/20100101 Thunderbird/78.13.0",
      "email client", "Thunderbird", "OS X", "desktop", 0 },
    { "Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.9.1.16) "
      "Gecko/20110818 Icedove/3.0.11",
      "email client", "Icedove", "Linux", "desktop", 0 },
    { "Mozilla/4.0 (compatible; Lotus-Notes/6.0; Windows-NT)",
      "email client", "Lotus Notes", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like "
      "Gecko) Evolution/3.36.1",
      "email client", "Evolution", "Linux", "desktop", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.9; rv:17.0) Gecko/17.0 "
      "Postbox/3.0.9",
      "email client", "Postbox", "OS X", "desktop", 0 },
    { "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; WOW64; "
      "Trident/5.0; Windows Live Mail 15)",
      "email client", "Windows Live Mail", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
      "(KHTML, like Gecko) eMClient/9.2 Chrome/112.0 Safari/537.36",
      "email client", "eM Client", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
      "browser", "Chrome", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 "
      "Edg/120.0.2210.91",
      "browser", "Edge", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/52.0.2743.116 Safari/537.36 "
      "Edge/15.15063",
      "browser", "Edge", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) "
      "Gecko/20100101 Firefox/121.0",
      "browser", "Firefox", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:15.0) Gecko/20100101 "
      "Firefox/15.0.1",
      "browser", "Firefox", "Linux", "desktop", 0 },
    { "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like "
      "Gecko) Chrome/119.0.0.0 Safari/537.36",
      "browser", "Chrome", "Linux", "desktop", 0 },
    { "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like "
      "Gecko) Ubuntu Chromium/80.0 Chrome/80.0 Safari/537.36",
      "browser", "Chromium", "Linux", "desktop", 0 },
    { "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
      "browser", "Chrome", "Chrome OS", "desktop", 0 },
    { "Mozilla/5.0 (X11; FreeBSD amd64; rv:115.0) Gecko/20100101 "
      "Firefox/115.0",
      "browser", "Firefox", "FreeBSD", "desktop", 0 },
    { "Mozilla/5.0 (X11; Linux x86_64; rv:38.0) Gecko/20100101 "
      "Firefox/38.0 SeaMonkey/2.35",
      "browser", "SeaMonkey", "Linux", "desktop", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 "
      "Safari/605.1.15",
      "browser", "Safari", "OS X", "desktop", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) "
      "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
      "Safari/537.36",
      "browser", "Chrome", "OS X", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like "
      "Gecko) Chrome/36.0 Safari/537.36 OPR/23.0.1522.60",
      "browser", "Opera", "Windows", "desktop", 0 },
    { "Opera/9.80 (Windows NT 6.0) Presto/2.12.388 Version/12.14",
      "browser", "Opera", "Windows", "desktop", 0 },
    { "Opera/9.80 (Android; Opera Mini/7.5.33361/31.1543; U; en) "
      "Presto/2.8.119 Version/11.1010",
      "mobile browser", "Opera Mini", "Android", "mobile", 0 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/118.0 Safari/537.36 Vivaldi/6.4",
      "browser", "Vivaldi", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like "
      "Gecko) Chrome/118.0 YaBrowser/23.11 Safari/537.36",
      "browser", "Yandex Browser", "Windows", "desktop", 0 },
    { "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; WOW64; "
      "Trident/4.0)",
      "browser", "Internet Explorer", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; rv:11.0) like "
      "Gecko",
      "browser", "Internet Explorer", "Windows", "desktop", 0 },
    { "Mozilla/5.0 (compatible; MSIE 10.0; Windows Phone 8.0; "
      "Trident/6.0; IEMobile/10.0; ARM; Touch; NOKIA; Lumia 920)",
      "mobile browser", "Internet Explorer", "Windows Phone", "mobile", 0 },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 "
      "Mobile/15E148 Safari/604.1",
      "mobile browser", "Safari", "iOS", "mobile", 0 },
    { "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 "
      "Mobile/15E148 Safari/604.1",
      "mobile browser", "Safari", "iOS", "tablet", 0 },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/119.0.6045.109 "
      "Mobile/15E148 Safari/604.1",
      "mobile browser", "Chrome", "iOS", "mobile", 0 },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/120.0 "
      "Mobile/15E148 Safari/605.1.15",
      "mobile browser", "Firefox", "iOS", "mobile", 0 },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) "
      "AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/277.0 Mobile/15E148 "
      "Safari/604.1",
      "mobile browser", "Google app", "iOS", "mobile", 0 },
    { "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, "
      "like Gecko) Chrome/119.0.0.0 Mobile Safari/537.36",
      "mobile browser", "Chrome", "Android", "mobile", 0 },
    { "Mozilla/5.0 (Linux; Android 9; SM-T720) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/96.0.4664.104 Safari/537.36",
      "mobile browser", "Chrome", "Android", "tablet", 0 },
    { "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) "
      "AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 "
      "Chrome/115.0 Mobile Safari/537.36",
      "mobile browser", "Samsung Internet", "Android", "mobile", 0 },
    { "Mozilla/5.0 (Linux; U; Android 4.0.3; de-de; GT-I9100 "
      "Build/IML74K) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 "
      "Mobile Safari/534.30",
      "mobile browser", "Android Browser", "Android", "mobile", 0 },
    { "Mozilla/5.0 (Android 13; Mobile; rv:109.0) Gecko/119.0 "
      "Firefox/119.0",
      "mobile browser", "Firefox", "Android", "mobile", 0 },
    { "Mozilla/5.0 (Linux; Android 10; HD1913) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Chrome/119.0 Mobile Safari/537.36 EdgA/119.0",
      "mobile browser", "Edge", "Android", "mobile", 0 },
    { "Mozilla/5.0 (Linux; U; Android 9; KFMAWI) AppleWebKit/537.36 "
      "(KHTML, like Gecko) Silk/96.2.3 like Chrome/96.0 Safari/537.36",
      "mobile browser", "Amazon Silk", "Fire OS", "tablet", 0 },
    { "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) "
      "Version/10.0.9.2372 Mobile Safari/537.10+",
      "mobile browser", "Safari", "BlackBerry OS", "mobile", 0 },
    { "Mozilla/5.0 (PlayStation 4 3.11) AppleWebKit/537.73 (KHTML, like "
      "Gecko)",
      "browser", "WebKit", "PlayStation", "other", 0 },
    { "Lynx/2.8.9rel.1 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/1.1.1d",
      "browser", "Lynx", "unknown", "unknown", 0 },
    { "Mozilla/5.0 (compatible; Googlebot/2.1; "
      "+http://www.google.com/bot.html)",
      "robot", "Googlebot", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) "
      "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0 Mobile "
      "Safari/537.36 (compatible; Googlebot/2.1; "
      "+http://www.google.com/bot.html)",
      "robot", "Googlebot", "Android", "mobile", 1 },
    { "Mozilla/5.0 (compatible; bingbot/2.0; "
      "+http://www.bing.com/bingbot.htm)",
      "robot", "Bingbot", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like "
      "Gecko) BingPreview/1.0b",
      "robot", "BingPreview", "Windows", "desktop", 1 },
    { "facebookexternalhit/1.1 "
      "(+http://www.facebook.com/externalhit_uatext.php)",
      "robot", "Facebook", "unknown", "unknown", 1 },
    { "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
      "robot", "Slackbot", "unknown", "unknown", 1 },
    { "WhatsApp/2.23.20.0 A",
      "robot", "WhatsApp", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
      "robot", "Skype URI Preview", "Windows", "desktop", 1 },
    { "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
      "robot", "a robot", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like "
      "Gecko) HeadlessChrome/119.0.0.0 Safari/537.36",
      "robot", "Chrome, headless", "Linux", "desktop", 1 },
    { "BarracudaCentral/1.0",
      "robot", "Barracuda", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (compatible; Proofpoint URL Scanner)",
      "robot", "Proofpoint", "unknown", "unknown", 1 },
    { "Mimecast-URL-Scanner/1.0",
      "robot", "Mimecast", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/90.0 SafeLinks",
      "robot", "Safe Links", "Windows", "desktop", 1 },
    { "curl/7.88.1",
      "library", "curl", "unknown", "unknown", 1 },
    { "Wget/1.21.3",
      "library", "Wget", "unknown", "unknown", 1 },
    { "python-requests/2.28.1",
      "library", "Python", "unknown", "unknown", 1 },
    { "Python/3.11 aiohttp/3.8.4",
      "library", "Python", "unknown", "unknown", 1 },
    { "Python-urllib/3.9",
      "library", "Python", "unknown", "unknown", 1 },
    { "Go-http-client/1.1",
      "library", "Go", "unknown", "unknown", 1 },
    { "Java/1.8.0_191",
      "library", "Java", "unknown", "unknown", 1 },
    { "Apache-HttpClient/4.5.13 (Java/11.0.11)",
      "library", "Java", "unknown", "unknown", 1 },
    { "okhttp/4.9.3",
      "library", "OkHttp", "unknown", "unknown", 1 },
    { "libwww-perl/6.67",
      "library", "Perl", "unknown", "unknown", 1 },
    { "GuzzleHttp/7",
      "library", "PHP", "unknown", "unknown", 1 },
    { "Ruby",
      "library", "Ruby", "unknown", "unknown", 1 },
    { "axios/1.6.2",
      "library", "Node.js", "unknown", "unknown", 1 },
    { "Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) "
      "WindowsPowerShell/5.1.19041.1682",
      "library", "PowerShell", "Windows", "desktop", 1 },
    { "SomeProgram/1.0",
      "unknown", "unknown", "unknown", "unknown", 0 },
    { "-",
      "unknown", "unknown", "unknown", "unknown", 1 },
    { "",
      "unknown", "unknown", "unknown", "unknown", 1 },
};

static void test_table(void **state)
{
    mg_client_t c;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_client_read(&c, cases[i].user_agent);
        if (strcmp(c.type, cases[i].type) || strcmp(c.name, cases[i].name)
            || strcmp(c.os, cases[i].os) || strcmp(c.device, cases[i].device)
            || c.machine != cases[i].machine)
            fail_msg("%s: %s, %s, %s, %s, %d", cases[i].user_agent, c.type,
                     c.name, c.os, c.device, c.machine);
    }
}

/* Whatever is sent, words come back. */
static void test_hostile(void **state)
{
    char text[4 * MG_USER_AGENT_MAX];
    mg_client_t c;
    int i;

    (void)state;
    mg_client_read(&c, NULL);
    assert_int_equal(c.machine, 1);
    memset(text, 'a', sizeof(text));
    memcpy(text + MG_USER_AGENT_MAX + 1, "Firefox/", 8);
    text[sizeof(text) - 1] = '\0';
    mg_client_read(&c, text);
    assert_string_equal(c.name, "unknown");
    for (i = 1; i < 256; i++)
        text[i] = (char)i;
    mg_client_read(&c, text);
    assert_string_equal(c.device, "unknown");
}

UNIT_MAIN(cmocka_unit_test(test_table), cmocka_unit_test(test_hostile))
