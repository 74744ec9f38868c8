"""How people and places are named in nine parts of the world, each in its own script."""

from collections.abc import Callable
from dataclasses import dataclass

WOMAN = "female"
MAN = "male"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a name can be made of besides the given one: the father's given name and the parents' family names."""

    father: str
    family: str
    mothers_family: str


NamingRule = Callable[[str, str, Lineage], str]
"""The full name from the given name, the sex and the lineage."""


@dataclass(frozen=True, slots=True)
class Culture:
    """`household` is a pattern over `head`, the full name of the head, and `family`, the name of the family."""

    language: str
    dialling_code: str
    women: tuple[str, ...]
    men: tuple[str, ...]
    families: tuple[str, ...]
    villages: tuple[str, ...]
    household: str
    full_name: NamingRule
    wife_takes_family: bool = False


def _given_family(given: str, _: str, lineage: Lineage) -> str:
    return f"{given} {lineage.family}"


def _given_father(given: str, _: str, lineage: Lineage) -> str:
    return f"{given} {lineage.father}"


def _given_father_family(given: str, _: str, lineage: Lineage) -> str:
    return f"{given} {lineage.father} {lineage.family}"


def _given_both_families(given: str, _: str, lineage: Lineage) -> str:
    return f"{given} {lineage.family} {lineage.mothers_family}"


def _given_initial_family(given: str, _: str, lineage: Lineage) -> str:
    return f"{given} {lineage.mothers_family[0]}. {lineage.family}"


def _bengali(given: str, sex: str, lineage: Lineage) -> str:
    """Women's second names are titles that come with the first one; men carry the family's."""
    return given if sex == WOMAN else f"{given} {lineage.family}"


def _ukrainian(given: str, sex: str, lineage: Lineage) -> str:
    return f"{lineage.family} {given} {_PATRONYMICS[lineage.father][sex == WOMAN]}"


_PATRONYMICS = {
    "Іван": ("Іванович", "Іванівна"),
    "Микола": ("Миколайович", "Миколаївна"),
    "Петро": ("Петрович", "Петрівна"),
    "Андрій": ("Андрійович", "Андріївна"),
    "Василь": ("Васильович", "Василівна"),
    "Олександр": ("Олександрович", "Олександрівна"),
    "Богдан": ("Богданович", "Богданівна"),
    "Тарас": ("Тарасович", "Тарасівна"),
    "Степан": ("Степанович", "Степанівна"),
    "Остап": ("Остапович", "Остапівна"),
}

LAO = Culture(
    language="Lao",
    dialling_code="+856",
    women=("ບົວພັນ", "ຈັນທາ", "ສົມຈິດ", "ດາວອນ", "ມະນີວັນ", "ສຸພາພອນ", "ແສງດາວ", "ລັດສະໝີ", "ຄຳຫຼ້າ", "ວິໄລ"),
    men=("ສົມສັກ", "ບຸນມີ", "ຄຳພັນ", "ສີສຸກ", "ວຽງໄຊ", "ທອງດີ", "ສົມພອນ", "ບຸນທັນ", "ພູວົງ", "ໄຊຍະ"),
    families=("ວົງສາ", "ພົມມະຈັນ", "ໄຊຍະວົງ", "ສຸວັນນະວົງ", "ແກ້ວມະນີ", "ອິນທະວົງ", "ພິມມະສອນ", "ຈັນທະວົງ"),
    villages=("ບ້ານນາໄຊ", "ບ້ານໂພນທອງ", "ບ້ານຫ້ວຍແກ້ວ", "ບ້ານດອນໃໝ່"),
    household="ຄອບຄົວ {head}",
    full_name=_given_family,
    wife_takes_family=True,
)

ARABIC = Culture(
    language="Arabic",
    dialling_code="+962",
    women=("فاطمة", "عائشة", "مريم", "زينب", "خديجة", "سلمى", "نور", "هدى", "أمل", "ليلى"),
    men=("أحمد", "محمد", "علي", "حسن", "عمر", "يوسف", "إبراهيم", "خالد", "صالح", "عبد الله"),
    families=("الحسن", "العلي", "الأحمد", "الخطيب", "النجار", "الحداد", "البدوي", "الراعي"),
    villages=("الزهراء", "عين الزيتون", "تل الورد", "وادي النخيل", "بئر السلام"),
    household="أسرة {head}",
    full_name=_given_father_family,
)

AMHARIC = Culture(
    language="Amharic",
    dialling_code="+251",
    women=("አልማዝ", "ትዕግስት", "ሰላማዊት", "ሂሩት", "ማርታ", "ቤተልሔም", "ገነት", "አስቴር", "ወርቅነሽ", "ሙሉ"),
    men=("አበበ", "ከበደ", "ተስፋዬ", "ኃይሉ", "ዳዊት", "ሰለሞን", "ግርማ", "ታደሰ", "ብርሃኑ", "መኮንን", "ለማ"),
    families=("",),
    villages=("ደብረ ወርቅ", "አዲስ ዓለም", "ወይን አምባ", "ጎሽ ሜዳ"),
    household="የ{head} ቤተሰብ",
    full_name=_given_father,
)

SPANISH = Culture(
    language="Spanish",
    dialling_code="+51",
    women=("María Elena", "Rosa", "Juana", "Carmen", "Luz Marina", "Yolanda", "Nélida", "Flor", "Inés", "Begoña"),
    men=("José Luis", "Teófilo", "Juan Carlos", "Víctor", "Raúl", "Agustín", "Wilmer", "Ángel", "Santos", "Edilberto"),
    families=("Quispe", "Mamani", "Huamán", "Núñez", "Flores", "Condori", "Vásquez", "Ñahui", "Rojas", "Choque"),
    villages=("San Isidro", "Quebrada Honda", "El Porvenir", "Las Peñas", "Santa Rosa"),
    household="Familia {family}",
    full_name=_given_both_families,
)

HAUSA = Culture(
    language="Hausa",
    dialling_code="+234",
    women=("Hauwa", "Zainab", "A'isha", "Hadiza", "Maryam", "Rakiya", "Safiya", "Jummai", "Talatu", "Binta", "Ladi"),
    men=("Musa", "Ibrahim", "Sani", "Bello", "Garba", "Yusuf", "Aminu", "Nasiru", "Kabiru", "Shehu", "Haruna"),
    families=("",),
    villages=("Tudun Wada", "Gidan Makama", "Unguwar Rimi", "Kofar Kudu"),
    household="Gidan {head}",
    full_name=_given_father,
)

YORUBA = Culture(
    language="Yoruba",
    dialling_code="+234",
    women=("Fúnmiláyọ̀", "Yétúndé", "Títílayọ̀", "Morẹ́nikẹ́", "Bọ́láńlé", "Àbẹ̀kẹ́", "Kẹ́hìndé", "Ìyábọ̀"),
    men=("Adébáyọ̀", "Babátúndé", "Olúṣẹ́gun", "Ayọ̀délé", "Táíwò", "Akínwándé", "Ọláolú", "Kọ́láwọlé"),
    families=("Adéyẹmí", "Akíntọ́lá", "Ọláyínká", "Àjàyí", "Bámgbóṣé", "Ògúndélé", "Ọ̀jọ́"),
    villages=("Abúlé-Ọjà", "Òkè-Odò", "Ìdí-Àràbà", "Ìlú-Titun"),
    household="Ìdílé {family}",
    full_name=_given_family,
    wife_takes_family=True,
)

FILIPINO = Culture(
    language="Filipino",
    dialling_code="+63",
    women=("Maria Luisa", "Rosario", "Ligaya", "Analyn", "Marites", "Rowena", "Corazon", "Jocelyn", "Divina", "Imelda"),
    men=("Juanito", "Jomar", "Rodel", "Crisanto", "Reynaldo", "Danilo", "Efren", "Arnel", "Benigno", "Jun-Jun"),
    families=("Dela Cruz", "Bautista", "Villanueva", "Macaraeg", "Dimaculangan", "Pangilinan", "Manalo", "Peñaflor"),
    villages=("Barangay San Roque", "Barangay Malinao", "Sitio Maligaya", "Barangay Bagong Silang"),
    household="Pamilya {family}",
    full_name=_given_initial_family,
    wife_takes_family=True,
)

BENGALI = Culture(
    language="Bengali",
    dialling_code="+880",
    women=(
        "ফাতেমা বেগম",
        "রহিমা খাতুন",
        "সালমা আক্তার",
        "নাসরিন আক্তার",
        "হালিমা বেগম",
        "জাহানারা বেগম",
        "রোকেয়া খাতুন",
        "শিউলি আক্তার",
        "মরিয়ম বেগম",
        "আমেনা খাতুন",
    ),
    men=("রফিকুল", "আব্দুল করিম", "জাহাঙ্গীর", "শফিকুল", "কামাল", "আনোয়ার", "মিজানুর", "হাবিবুর", "সোহেল", "নুরুল"),
    families=("শেখ", "মিয়া", "মোল্লা", "হাওলাদার", "তালুকদার", "সরকার", "খান"),
    villages=("চর শিবপুর", "মধুপুর", "কাশীপুর", "নওদাপাড়া", "রসুলপুর"),
    household="{head} এর পরিবার",
    full_name=_bengali,
)

UKRAINIAN = Culture(
    language="Ukrainian",
    dialling_code="+380",
    women=("Олена", "Оксана", "Марія", "Наталія", "Ганна", "Дарина", "Софія", "Ірина", "Людмила", "Соломія"),
    men=tuple(_PATRONYMICS),
    families=("Шевченко", "Коваленко", "Бондаренко", "Ткаченко", "Кравчук", "Мельник", "Савчук", "Лисенко"),
    villages=("Нова Долина", "Криниця", "Калинівка", "Зелений Гай", "Верхня Балка"),
    household="Родина {family}",
    full_name=_ukrainian,
    wife_takes_family=True,
)

CULTURES = (LAO, ARABIC, AMHARIC, SPANISH, HAUSA, YORUBA, FILIPINO, BENGALI, UKRAINIAN)
