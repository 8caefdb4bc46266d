"""Finds the nginx that doors 2 and 3 are tested with: Debian's, with its modules.

`python -m tests.nginx` gets it where that needs nobody's leave.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests import apt

PACKAGES = (
    "nginx",
    "libnginx-mod-http-lua",
    "libnginx-mod-http-headers-more-filter",
    "lua-cjson",
)
MODULES = (
    "ndk_http_module.so",
    "ngx_http_lua_module.so",
    "ngx_http_headers_more_filter_module.so",
)
MODULES_WITHOUT_LUA = MODULES[2:]
FOLDERS = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
HOW_TO_GET_IT = (
    "Doors 2 and 3 were not tested: no nginx with Lua was found. On Debian:\n"
    f"  apt-get install {' '.join(PACKAGES)}\n"
)


def find() -> tuple[str, Path] | None:
    """The program and the folder with its modules; None when one of them is absent."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    for folder in FOLDERS:
        if program and all((folder / module).is_file() for module in MODULES):
            return program, folder
    return None


def main() -> int:
    if find() is None:
        apt.install(*PACKAGES)
    if find() is None:
        sys.stderr.write(HOW_TO_GET_IT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
