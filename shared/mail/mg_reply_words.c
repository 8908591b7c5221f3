/* mg_reply_words.c - what lines around quotes say, language by language.
 *
 * Each kind is one regular expression, compiled once per process. Only short
 * lines are asked: what follows is long in running text only.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <pthread.h>
#include <string.h>

#include "mg_reply_private.h"

#define ASKED_MAX 600

/* "wrote": at the end of a word, as languages without blanks have it. */
#define VERBS                                                                 \
    "wrote|writes|has written|schrieb|schrieben|geschrieben|hat geschrieben"  \
    "|a écrit|écrivait|écrit|escribió|escribio|escribi[oó]|va escriure"       \
    "|ha scritto|scrisse|scrive|schreef|geschreven|escreveu|escreveste"       \
    "|pisze|napisał(?:a|\\(a\\)|/a)?|napisa[lł]|пишет|пишете|написал(?:а|\\(а\\))?" \
    "|писал(?:а|\\(а\\))?|пише|написав(?:ла)?|написала|написа|сообщил"        \
    "|skrev|skriver|kirjoitti|napsal(?:a|\\(a\\))?|napísal(?:a|\\(a\\))?"     \
    "|yazdı|şunu yazdı|írta|ezt írta|έγραψε|έγραψες|a scris|je napisa(?:o|la)" \
    "|napisao|napisala|je pisal|menulis|đã viết|viết|rašė|rakstīja|kirjutas"  \
    "|写道|寫道|写到|님이 작성|님이 쓴 글|작성|のメール|のメッセージ" \
    "|さんは書きました|書きました|さんが書き|wrote the following|schreibt"    \
    "|كتب|כתב|כתבה"

/* How such a line begins, where languages have a word for it. */
#define STARTS                                                                \
    "On|At|Am|Den|Le|El|Il giorno|Il|Op|Em|A|W dniu|Dnia|В|Vào|Pada|Στις" \
    "|În|In data|Data|Dana|Dne|Dňa|Quoting|Zitat von|På|El día|Em qua"       \
    "|在|于|From"

#define ORIGINALS                                                             \
    "original message|reply message|original mail|original email"             \
    "|ursprüngliche nachricht|urspr. nachricht|originalnachricht"             \
    "|original-nachricht|original nachricht|message d['’]origine"             \
    "|message original|message initial|message précédent|mensaje original"    \
    "|missatge original|messaggio originale|oorspronkelijk bericht"  \
    "|origineel bericht|originele bericht|mensagem original"                  \
    "|wiadomość oryginalna|oryginalna wiadomość|wiadomość pierwotna"          \
    "|исходное сообщение|оригинальное сообщение|исходное письмо"              \
    "|вихідне повідомлення|початкове повідомлення|оригинално съобщение"       \
    "|ursprungligt meddelande|originalmeddelande|original meddelande"         \
    "|oprindelig meddelelse|original meddelelse|opprinnelig melding"          \
    "|original melding|alkuperäinen viesti|původní zpráva|pôvodná správa"     \
    "|eredeti üzenet|orijinal ileti|orijinal mesaj|özgün ileti|asıl mesaj"    \
    "|原始邮件|原邮件|原始郵件|原始訊息|元のメッセージ|元メッセージ"          \
    "|original メッセージ|원본 메시지|원본 메일|원본메일|αρχικό μήνυμα"       \
    "|mesajul original|mesaj original|izvorna poruka|pesan asli|thư gốc"

#define FORWARDS                                                              \
    "forwarded message|forwarded by|begin forwarded message|forwarded email"  \
    "|weitergeleitete nachricht|anfang der weitergeleiteten"                  \
    "|message transféré|message transmis|début du message"                    \
    "|mensaje reenviado|inicio del mensaje reenviado|mensaje enviado"         \
    "|messaggio inoltrato|inizio messaggio inoltrato|inizio del messaggio"    \
    "|doorgestuurd bericht|doorgestuurde bericht|begin doorgestuurd"          \
    "|mensagem encaminhada|mensagem reencaminhada|início da mensagem"         \
    "|wiadomość przekazana|przekazana wiadomość|przesłana wiadomość"          \
    "|początek przekazywanej|пересланное|пересылаемое|начало переадресованного" \
    "|переслане повідомлення|vidarebefordrat|vidarebefordrade"                \
    "|videresendt|välitetty viesti|edelleenlähetetty|přeposlaná zpráva"       \
    "|preposlaná správa|továbbított üzenet|iletilen ileti|iletilmiş"          \
    "|转发的邮件|转发邮件信息|轉寄的郵件|轉寄郵件|転送されたメッセージ"       \
    "|転送メッセージ|전달된 메시지|전달된 메일|προωθημένο μήνυμα|mesaj redirecționat"

#define FROMS                                                                 \
    "From|Von|De|Da|Van|Från|Fra|Od|Odesílatel|Odosielateľ|От|От кого|Від"    \
    "|Отправитель|Lähettäjä|Keneltä|Feladó|Kimden|Gönderen|Από|De la"         \
    "|差出人|送信者|发件人|寄件者|寄件人|發件人|보낸 사람|보낸사람|Expéditeur|Absender" \
    "|Remitente|Mittente|Afzender|Remetente|Nadawca|De \\(expéditeur\\)|Šalje|Dari"

#define FIELDS                                                                \
    "Sent|Date|To|Cc|Subject|Reply-To|Gesendet|Datum|An|Kopie|Betreff|Envoyé" \
    "|Envoyé le|Date d['’]envoi|À|Objet|Copie à|Enviado|Enviado el|Enviada"   \
    "|Enviada em|Fecha|Para|Asunto|Assunto|Data|Inviato|A|Oggetto|Verzonden"  \
    "|Aan|Onderwerp|Datum|Wysłano|Wysłane|Do|DW|Temat|Отправлено|Дата|Кому"   \
    "|Копия|Тема|Надіслано|Skickat|Till|Ämne|Sendt|Til|Emne|Lähetetty"        \
    "|Vastaanottaja|Aihe|Päiväys|Odesláno|Komu|Předmět|Odoslané|Predmet"      \
    "|Elküldve|Címzett|Tárgy|Dátum|Gönderildi|Gönderme Tarihi|Tarih|Kime"     \
    "|Konu|Εστάλη|Προς|Θέμα|Ημερομηνία|Trimis|Către|Subiect|送信日時|日付"    \
    "|宛先|件名|送信|发送时间|发送日期|日期|收件人|抄送|主题|寄件日期|傳送時間" \
    "|收件者|副本|主旨|보낸 날짜|날짜|받는 사람|받는사람|제목|参照"

#define DEVICES                                                               \
    "sent from (?:my|the|an?|mail|yahoo|outlook|samsung|aol|proton|android"   \
    "|iphone|ipad|blackberry|nine|gmail|mobile|windows|email|tutanota|huawei" \
    "|myphone|iCloud)|sent via|sent using|sent with|sent on the go"           \
    "|get outlook for|download outlook|this email was sent from my"           \
    "|von meine[mr] .{1,40} gesendet|gesendet (?:von|mit|über|aus)"           \
    "|diese nachricht wurde von meinem|outlook für|holen sie sich outlook"    \
    "|envoyé (?:de|depuis|à partir|avec|via)|obtenir outlook|télécharger outlook" \
    "|enviado (?:desde|do|a partir|con|de|via|pelo|através|usando|com)"       \
    "|enviada (?:do|de|a partir)|obtener outlook|obtenha o outlook|obter o outlook" \
    "|inviato (?:da|dal|con)|scarica outlook|ottieni outlook"                 \
    "|verstuurd (?:vanaf|met|via|vanuit)|verzonden (?:vanaf|met|via|vanuit)"  \
    "|outlook voor|wysłan[eoy] (?:z|za)|pobierz aplikację outlook"            \
    "|отправлено (?:с|из|от|через)|отправлено$|скачать outlook"               \
    "|надіслано з|відправлено з|skickat från|skickades från|sendt fra"        \
    "|hent outlook|skaffa outlook|lähetetty (?:iphone|ipad|minun|samsung|androi|laitte)" \
    "|odesláno (?:z|pomocí)|odoslané z|küldve|iphone-omról|.{1,30}(?:um|ım|im)dan gönderildi" \
    "|.{0,40}から送信|.{0,20}から送信されました|发自我的|发自|從我的|傳送自|寄自" \
    "|.{0,40}(?:에서|로) 보냄|από το|trimis de pe|trimis din|dikirim dari|được gửi từ"

#define CLOSINGS                                                              \
    "(?:(?:many|with|kind|kindest|best|warm|warmest|sincere|my best|yours"    \
    "|all the best|very best|with best|with kind|with warm|with many)[ ,]*)*" \
    "(?:regards|wishes|thanks|sincerely|faithfully|truly|cheers|best)"        \
    "|all the best|take care|yours|respectfully|cordially|thank you|thx|tx|ty" \
    "|thanks (?:so much|a lot|again|in advance|for your help|!)"              \
    "|many thanks|br|kr|rgds|talk soon|best,? regards|warmly|love|xoxo|ttyl"  \
    "|(?:mit |viele |beste |liebe |schöne |herzliche |freundliche |sonnige |besten |vielen |herzlichen )+" \
    "(?:freundlichen |besten |herzlichen |lieben |vielen |kollegialen )*"     \
    "(?:grüßen?|gruß|gruss|grüssen?|grüsse|dank|danke)"                       \
    "|mfg|lg|vg|viele grüße|gruß|gruss|grüße|grüsse|hochachtungsvoll|danke"   \
    "|bien (?:à vous|à toi|cordialement)|cordialement|très cordialement"      \
    "|sincèrement|(?:avec )?mes (?:salutations|amitiés|meilleures salutations)" \
    "|salutations(?: distinguées)?|meilleures salutations|amicalement|amitiés" \
    "|bonne (?:journée|soirée)|merci(?: d['’]avance| beaucoup| bien)?|à bientôt|bises|bisous" \
    "|(?:un )?(?:cordial |afectuoso )?saludos?(?: cordiales)?|un saludo|atentamente" \
    "|muchas gracias|gracias|un abrazo|abrazos?|cordialmente|le saluda atentamente|quedo atent[oa]" \
    "|(?:cordiali|distinti|cari|tanti) saluti|saluti|un saluto|cordialmente|grazie(?: mille)?|a presto|ciao" \
    "|met (?:vriendelijke|hartelijke|beste) groet(?:en)?|vriendelijke groet(?:en)?" \
    "|(?:hartelijke |veel |fijne )?groet(?:en|jes)?|mvg|gr|bedankt|alvast bedankt|dank je wel|hoogachtend" \
    "|atenciosamente|att|cumprimentos|(?:com )?os melhores cumprimentos|melhores cumprimentos" \
    "|(?:um |grande )?abraços?|obrigad[oa]|muito obrigad[oa]|grat[oa]|cordiais saudações" \
    "|pozdrawiam(?: serdecznie| cię)?|serdecznie pozdrawiam|z poważaniem|z wyrazami szacunku" \
    "|pozdrowienia|dziękuję|dzięki|z góry dziękuję"                           \
    "|с уважением|с наилучшими пожеланиями|с (?:приветом|любовью)|всего (?:доброго|хорошего|наилучшего)" \
    "|спасибо|заранее спасибо|искренне ваш|до свидания|з повагою|дякую"       \
    "|(?:med )?vänlig(?:a)? hälsning(?:ar)?|med vänlig hälsning|hälsningar|mvh|tack" \
    "|(?:med )?venlig hilsen|(?:med )?vennlig hilsen|hilsen|mange hilsner|tak|takk" \
    "|ystävällisin terveisin|terveisin|kiitos|s pozdravem|s úctou|děkuji|díky" \
    "|s pozdravom|ďakujem|üdvözlettel|tisztelettel|köszönöm|saygılarımla|iyi çalışmalar|teşekkürler|sevgiler" \
    "|με εκτίμηση|ευχαριστώ|cu stimă|cu respect|mulțumesc|srdačan pozdrav|lijep pozdrav|lep pozdrav|hvala" \
    "|よろしくお願い(?:いた|致)?します|宜しくお願い(?:いた|致)?します|敬具|以上|ありがとうございます|ありがとうございました|感謝" \
    "|(?:此致|敬礼|敬禮|祝好|顺祝商祺|順頌商祺|祝商祺|谢谢|謝謝|感谢|多谢|此致敬礼|祝您工作顺利|致礼)" \
    "|감사합니다|고맙습니다|드림|salam|terima kasih|trân trọng|cảm ơn"

static const char *const patterns[REPLY_WORDS] = {
    [REPLY_VERB] = "(?<![\\p{Latin}\\p{Cyrillic}\\p{Greek}])(?:" VERBS ")"
                   "(?![\\p{Latin}\\p{Cyrillic}\\p{Greek}])",
    [REPLY_START] = "^[*_\"“„ ]{0,3}(?:(?:" STARTS ")(?![\\p{Latin}\\p{Cyrillic}"
                    "\\p{Greek}])|\\d{1,4}[./\\-年년]|\\p{L}{2,12}[.,]{1,2} ?\\d"
                    "|\\p{L}{2,12}[.,]{1,2} \\p{L}{3,10}\\.? \\d|\\d{1,2}\\.? \\p{L}{3,10}[., ])",
    [REPLY_DATE] = "\\b[0-2]?\\d[:.h][0-5]\\d\\b|(?<!\\d)(?:19|20)\\d\\d(?!\\d)"
                   "|\\d{1,2}[./\\-]\\d{1,2}[./\\-]\\d{2}",
    [REPLY_ADDRESS] = "[^\\s<>\"]+@[^\\s<>\"]+\\.\\p{L}{2}",
    [REPLY_ORIGINAL] = "^[\\s>*]*[-_=—–]{2,}[ *]*(?:" ORIGINALS ").{0,60}$"
                       "|^[ *]*(?:" ORIGINALS ")[ *]*:?[ *]*$",
    [REPLY_FORWARD] = "^[\\s>*]*[-_=—–]{2,}[ *]*(?:" FORWARDS ").{0,60}$"
                      "|^[\\s>*]*(?:" FORWARDS ").{0,60}[:：][\\s*]*$",
    [REPLY_FROM] = "^[ *>]{0,4}(?:" FROMS ")[* ]{0,2}[\\x{A0} ]?[:：][* ]*\\S",
    [REPLY_FIELD] = "^[ *>]{0,4}(?:" FIELDS ")[* ]{0,2}[\\x{A0} ]?[:：]",
    [REPLY_DEVICE] = "^[\\s*_~\\-–—]{0,6}(?:" DEVICES ")",
    /* in two languages; with the name in the same line */
    [REPLY_CLOSING] = "^[\\s*_]{0,3}(?:" CLOSINGS ")"
                      "(?:\\s*[/|&+]\\s*(?:" CLOSINGS "))?"
                      "(?:[,!]?\\s+(?-i:\\p{Lu}[\\p{L}.'’\\-]{1,20}"
                      "(?: \\p{Lu}[\\p{L}.'’\\-]{0,20}){0,2}))?"
                      "[\\s,.!;:*_~)，。！、\\x{2665}\\x{263A}\\-]*$",
    [REPLY_CONTACT] = "(?:\\+|\\(|\\b)\\d[\\d ()./\\-]{6,}\\d|www\\.\\S|https?://\\S"
                      "|[^\\s<>\"]+@[^\\s<>\"]+\\.\\p{L}{2}"
                      "|^(?:tel|phone|mobile?|mob|fax|cell|direct|office|skype|web|e-?mail"
                      "|t|m|f|w|e|p|handy|telefon|téléphone|teléfono|telefono|тел)[.:]"
                      "|(?:電話|电话|手机|携帯)[:：]?",
};

static pcre2_code *codes[REPLY_WORDS];

static void compile_all(void)
{
    PCRE2_SIZE offset;
    int i, error;

    for (i = 0; i < REPLY_WORDS; i++) {
        codes[i] = pcre2_compile((PCRE2_SPTR)patterns[i],
                                 PCRE2_ZERO_TERMINATED,
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS
                                     | PCRE2_MATCH_INVALID_UTF,
                                 &error, &offset, NULL);
        if (codes[i])
            pcre2_jit_compile(codes[i], PCRE2_JIT_COMPLETE);
    }
}

int reply_says(reply_words_t what, reply_span_t span)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static __thread pcre2_match_data *data;
    static __thread pcre2_match_context *limits;

    if (span.len == 0 || span.len > ASKED_MAX)
        return 0;
    pthread_once(&once, compile_all);
    if (!data) {
        data = pcre2_match_data_create(1, NULL);
        limits = pcre2_match_context_create(NULL);
        if (limits)
            pcre2_set_match_limit(limits, 20000);
    }
    return data && codes[what]
           && pcre2_match(codes[what], (PCRE2_SPTR)span.s, span.len, 0, 0,
                          data, limits) >= 0;
}

/* --- on top of words --- */

static int blank(const char *s, apr_size_t len, apr_size_t *pn)
{
    *pn = 1;
    if (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n')
        return 1;
    *pn = 2;
    if (len >= 2 && (unsigned char)s[0] == 0xC2
        && (unsigned char)s[1] == 0xA0)
        return 1; /* no-break space */
    *pn = 3;
    return len >= 3
           && (!memcmp(s, "\xe2\x80\x8b", 3)      /* zero width space */
               || !memcmp(s, "\xe3\x80\x80", 3)   /* ideographic space */
               || !memcmp(s, "\xef\xbb\xbf", 3)); /* byte order mark */
}

reply_span_t reply_trim(reply_span_t span)
{
    apr_size_t n;

    while (span.len > 0 && blank(span.s, span.len, &n)) {
        span.s += n;
        span.len -= n;
    }
    while (span.len > 0) {
        const char *end = span.s + span.len;

        if (blank(end - 1, 1, &n) && n == 1)
            span.len--;
        else if (span.len >= 2 && blank(end - 2, 2, &n) && n == 2)
            span.len -= 2;
        else if (span.len >= 3 && blank(end - 3, 3, &n) && n == 3)
            span.len -= 3;
        else
            break;
    }
    return span;
}

int reply_ends_with_colon(reply_span_t span)
{
    span = reply_trim(span);
    while (span.len > 0 && strchr("*_\"", span.s[span.len - 1]))
        span.len--;
    return (span.len > 0 && span.s[span.len - 1] == ':')
           || (span.len >= 3
               && !memcmp(span.s + span.len - 3, "\xef\xbc\x9a", 3));
}

/* "<a@b>:" behind a date needs no verb: Gmail has none in some languages. */
static int ends_with_address(reply_span_t span)
{
    span = reply_trim(span);
    return span.len > 3
           && ((span.s[span.len - 1] == ':' && span.s[span.len - 2] == '>')
               || (span.len > 4
                   && !memcmp(span.s + span.len - 4, ">\xef\xbc\x9a", 4)));
}

reply_strength_t reply_attribution(reply_span_t span)
{
    int verb, sure;

    if (!reply_ends_with_colon(span))
        return REPLY_NOT;
    sure = reply_says(REPLY_DATE, span) || reply_says(REPLY_ADDRESS, span);
    verb = reply_says(REPLY_VERB, span);
    if (verb)
        return sure ? REPLY_STRONG : REPLY_WEAK;
    return ends_with_address(span) && reply_says(REPLY_DATE, span)
               ? REPLY_STRONG : REPLY_NOT;
}
