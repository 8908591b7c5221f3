/* track_words.c - the unsubscribe page in several languages. */
#include "track.h"

#include <apr_lib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The first is for everybody else. */
static const track_words_t table[] = {
    { "en",
      "Unsubscribe",
      "Shall {address} get no more mail from {domain}?",
      "Shall {address} get no more mail from {domain} about this: {tags}?",
      "Unsubscribe",
      "Unsubscribed",
      "{address} gets no more mail from {domain}.",
      "{address} gets no more mail from {domain} about this: {tags}.",
      "That was a mistake: subscribe me again",
      "Subscribed again",
      "{address} gets mail from {domain} again." },
    { "de",
      "Abbestellen",
      "Soll {address} keine E-Mails mehr von {domain} erhalten?",
      "Soll {address} von {domain} keine E-Mails mehr hierzu erhalten: {tags}?",
      "Abbestellen",
      "Abbestellt",
      "{address} erhält keine E-Mails mehr von {domain}.",
      "{address} erhält von {domain} keine E-Mails mehr hierzu: {tags}.",
      "Das war ein Versehen: wieder anmelden",
      "Wieder angemeldet",
      "{address} erhält wieder E-Mails von {domain}." },
    { "es",
      "Darse de baja",
      "¿Desea que {address} no reciba más correos de {domain}?",
      "¿Desea que {address} no reciba más correos de {domain} sobre: {tags}?",
      "Darme de baja",
      "Baja realizada",
      "{address} no recibirá más correos de {domain}.",
      "{address} no recibirá más correos de {domain} sobre: {tags}.",
      "Fue un error: suscribirme de nuevo",
      "Suscrito de nuevo",
      "{address} volverá a recibir correos de {domain}." },
    { "fr",
      "Se désabonner",
      "Voulez-vous que {address} ne reçoive plus d’e-mails de {domain} ?",
      "Voulez-vous que {address} ne reçoive plus d’e-mails de {domain} à ce sujet : {tags} ?",
      "Me désabonner",
      "Désabonnement effectué",
      "{address} ne recevra plus d’e-mails de {domain}.",
      "{address} ne recevra plus d’e-mails de {domain} à ce sujet : {tags}.",
      "C’était une erreur : me réabonner",
      "Réabonnement effectué",
      "{address} recevra de nouveau les e-mails de {domain}." },
    { "it",
      "Annulla l’iscrizione",
      "Vuoi che {address} non riceva più e-mail da {domain}?",
      "Vuoi che {address} non riceva più e-mail da {domain} su: {tags}?",
      "Annulla l’iscrizione",
      "Iscrizione annullata",
      "{address} non riceverà più e-mail da {domain}.",
      "{address} non riceverà più e-mail da {domain} su: {tags}.",
      "È stato un errore: iscrivimi di nuovo",
      "Iscrizione ripristinata",
      "{address} riceverà di nuovo e-mail da {domain}." },
    { "ja",
      "配信停止",
      "{address} への {domain} からのメール配信を停止しますか？",
      "{address} への {domain} からの次の件に関するメール配信を停止しますか：{tags}",
      "配信を停止する",
      "配信を停止しました",
      "{address} に {domain} からのメールは届かなくなります。",
      "{address} に {domain} からの次の件に関するメールは届かなくなります：{tags}",
      "間違えました：配信を再開する",
      "配信を再開しました",
      "{address} に {domain} からのメールが再び届きます。" },
    { "nl",
      "Afmelden",
      "Wilt u dat {address} geen e-mail meer ontvangt van {domain}?",
      "Wilt u dat {address} van {domain} hierover geen e-mail meer ontvangt: {tags}?",
      "Afmelden",
      "Afgemeld",
      "{address} ontvangt geen e-mail meer van {domain}.",
      "{address} ontvangt van {domain} hierover geen e-mail meer: {tags}.",
      "Dat was een vergissing: meld mij weer aan",
      "Weer aangemeld",
      "{address} ontvangt weer e-mail van {domain}." },
    { "pl",
      "Rezygnacja z subskrypcji",
      "Czy {address} ma nie otrzymywać więcej wiadomości od {domain}?",
      "Czy {address} ma nie otrzymywać więcej wiadomości od {domain} na temat: {tags}?",
      "Zrezygnuj",
      "Subskrypcja anulowana",
      "{address} nie otrzyma więcej wiadomości od {domain}.",
      "{address} nie otrzyma więcej wiadomości od {domain} na temat: {tags}.",
      "To pomyłka: zapisz mnie ponownie",
      "Subskrypcja przywrócona",
      "{address} znów będzie otrzymywać wiadomości od {domain}." },
    { "pt",
      "Cancelar inscrição",
      "Deseja que {address} não receba mais e-mails de {domain}?",
      "Deseja que {address} não receba mais e-mails de {domain} sobre: {tags}?",
      "Cancelar inscrição",
      "Inscrição cancelada",
      "{address} não receberá mais e-mails de {domain}.",
      "{address} não receberá mais e-mails de {domain} sobre: {tags}.",
      "Foi um engano: inscrever-me novamente",
      "Inscrição restabelecida",
      "{address} voltará a receber e-mails de {domain}." },
    { "ru",
      "Отписаться",
      "Больше не присылать на {address} письма от {domain}?",
      "Больше не присылать на {address} письма от {domain} на эту тему: {tags}?",
      "Отписаться",
      "Вы отписаны",
      "На {address} больше не будут приходить письма от {domain}.",
      "На {address} больше не будут приходить письма от {domain} на эту тему: {tags}.",
      "Это ошибка: подписать меня снова",
      "Вы снова подписаны",
      "На {address} снова будут приходить письма от {domain}." },
    { "sv",
      "Avsluta prenumeration",
      "Ska {address} inte längre få e-post från {domain}?",
      "Ska {address} inte längre få e-post från {domain} om detta: {tags}?",
      "Avsluta",
      "Avslutad",
      "{address} får ingen mer e-post från {domain}.",
      "{address} får ingen mer e-post från {domain} om detta: {tags}.",
      "Det var ett misstag: prenumerera igen",
      "Prenumererar igen",
      "{address} får e-post från {domain} igen." },
    { "zh",
      "退订",
      "是否不再让 {address} 收到来自 {domain} 的邮件？",
      "是否不再让 {address} 收到来自 {domain} 的以下邮件：{tags}？",
      "退订",
      "已退订",
      "{address} 将不再收到来自 {domain} 的邮件。",
      "{address} 将不再收到来自 {domain} 的以下邮件：{tags}。",
      "这是误操作：重新订阅",
      "已重新订阅",
      "{address} 将再次收到来自 {domain} 的邮件。" },
};
#define TABLE ((int)(sizeof(table) / sizeof(table[0])))

/* Languages that are looked at, of a field that may be endless. */
#define LANGUAGES_MAX 32

/* "de-AT" is "de" */
static const track_words_t *find(const char *language)
{
    int i;

    for (i = 0; i < TABLE; i++) {
        apr_size_t n = strlen(table[i].language);

        if (strncasecmp(language, table[i].language, n) == 0
            && !apr_isalnum(language[n]))
            return &table[i];
    }
    return NULL;
}

/* "de;q=0.8": 800; 1000 where nothing is said, 0 where it is none. */
static int weight_of(const char *at)
{
    apr_size_t n = strcspn(at, ",");
    const char *q = memchr(at, ';', n);
    double value;

    if (!q)
        return 1000;
    q += 1 + strspn(q + 1, " \t");
    if ((*q != 'q' && *q != 'Q') || q[1] != '=')
        return 1000;
    value = strtod(q + 2, NULL);
    return value > 0 && value <= 1 ? (int)(value * 1000) : 0;
}

const track_words_t *track_words(const char *accept_language)
{
    const track_words_t *best = &table[0], *one;
    const char *at = accept_language ? accept_language : "";
    int i, weight, best_weight = 0;

    for (i = 0; i < LANGUAGES_MAX && *at; i++) {
        at += strspn(at, ", \t");
        weight = weight_of(at);
        one = weight > best_weight ? find(at) : NULL;
        if (one) {
            best = one;
            best_weight = weight;
        }
        at += strcspn(at, ",");
    }
    return best;
}
