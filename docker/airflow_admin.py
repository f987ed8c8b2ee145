"""Write the log-in of Airflow's simple auth manager from AIRFLOW_ADMIN_PASSWORD, then become the given command.

python airflow_admin.py airflow api-server
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Write the file, readable by its owner only, and execute the command without the password."""
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    password = os.environ.pop("AIRFLOW_ADMIN_PASSWORD")
    os.umask(0o077)
    path.write_text(json.dumps({"admin": password}) + "\n", encoding="utf-8")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
