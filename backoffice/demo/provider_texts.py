from __future__ import annotations

from backoffice.demo.messages import Request

ENGLISH = {
    "notice": "Development only: no passwords, made-up people, this machine alone.",
    "choose": "Who are you today?",
    "asked-by": "{site} asks who you are. Choose a person to sign in.",
    "again": "{site} wants you to sign in again.",
    "current": "signed in",
    "sign-out": "Sign out?",
    "sign-out-lead": "{name} will be signed out here and at every site used.",
    "sign-out-nobody": "Nobody is signed in here in this browser.",
    "sign-out-action": "Sign out",
    "signed-out": "You are signed out",
    "signed-out-lead": "The sites you used have been told. You can close this page.",
    "refused": "This cannot go on",
    "refused-lead": "Go back to the site you came from and start again.",
}

KOREAN = {
    "notice": "개발 전용: 비밀번호 없는 가상 인물, 이 컴퓨터에서만 동작합니다.",
    "choose": "누구로 로그인할까요?",
    "asked-by": "{site}에서 로그인을 요청했습니다. 로그인할 사람을 고르세요.",
    "again": "{site}에서 다시 로그인하도록 요청했습니다.",
    "current": "로그인됨",
    "sign-out": "로그아웃할까요?",
    "sign-out-lead": "{name} 님의 로그인을 이곳과 사용한 모든 사이트에서 끝냅니다.",
    "sign-out-nobody": "이 브라우저에는 로그인한 사람이 없습니다.",
    "sign-out-action": "로그아웃",
    "signed-out": "로그아웃되었습니다",
    "signed-out-lead": "사용한 사이트에도 알렸습니다. 이 창을 닫아도 됩니다.",
    "refused": "계속할 수 없습니다",
    "refused-lead": "이전 사이트로 돌아가 처음부터 다시 시작하세요.",
}

TEXTS = {"en": ENGLISH, "ko": KOREAN}


def chosen_language(request: Request, ui_locales: str) -> str:
    """The first language we speak: by `ui_locales`, then by Accept-Language."""
    for tag in [*ui_locales.split(), *accepted(request.header("Accept-Language"))]:
        language = tag.lower().partition("-")[0]
        if language in TEXTS:
            return language
    return "en"


def accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, the most wanted first."""
    weighed = []
    for item in header.split(","):
        tag, _, parameters = item.strip().partition(";")
        try:
            weight = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        weighed.append((-weight, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda each: each[0])]
