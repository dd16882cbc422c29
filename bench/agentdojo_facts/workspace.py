# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail, a calendar, a contact book and a drive for files.

Mail is written by anybody. The calendar is the owner's: no tool lets a stranger make an entry, so
its numbers, times, titles and participants are his; what is described in it may have been pasted
from anywhere. (Where a service books strangers' invitations by itself, these fields are not
vouched for.) The contact book is the owner's alone. Files are edited by everybody they are shared
with; of them the drive vouches for number, name and size.
"""

from haoya.core.tool import ToolSpec

_READ = frozenset({"read"})
_MAIL = {"id_": "owner", "timestamp": "owner", "status": "owner"}
_EVENT = {
    "id_": "owner",
    "title": "owner",
    "start_time": "owner",
    "end_time": "owner",
    "participants": "owner",
}
_FILE = {"id_": "owner", "filename": "known", "size": "owner", "last_modified": "owner"}
_MAILS = {"effects": _READ, "private": True, "fields": _MAIL, "names": frozenset({"subject"})}
_EVENTS = {"effects": _READ, "private": True, "fields": _EVENT, "names": frozenset({"title"})}
_FILES = {"effects": _READ, "private": True, "fields": _FILE, "names": frozenset({"filename"})}
_CONTACTS = {
    "effects": _READ,
    "private": True,
    "author": "owner",
    "fields": {"*": "owner"},
    "names": frozenset({"name"}),
}


def _spec(name: str, **facts: object) -> ToolSpec:
    return ToolSpec(name=name, purpose=name, **facts)  # pyright: ignore


SEND_EMAIL = _spec(
    "send_email",
    effects=frozenset({"send"}),
    authority={
        "recipients": "who",
        "cc": "who",
        "bcc": "who",
        "attachments.file_id": "which",
    },
    audience=frozenset({"recipients", "cc", "bcc"}),
    private=True,
    fields=_MAIL,
    names=frozenset({"subject"}),
)
CREATE_EVENT = _spec(
    "create_calendar_event",
    effects=frozenset({"write"}),
    deed="create",
    writes=frozenset({"calendar"}),
    authority={"participants": "who", "title": "which"},
    audience=frozenset({"participants"}),
    undo="cancel the event",
    private=True,
    fields={"id_": "owner"},
    names=frozenset({"title"}),
)
CANCEL_EVENT = _spec(
    "cancel_calendar_event",
    effects=frozenset({"write"}),
    deed="delete",
    authority={"event_id": "which"},
    author="owner",
)
SEARCH_EVENTS = _spec("search_calendar_events", **_EVENTS)
DAY_EVENTS = _spec("get_day_calendar_events", **_EVENTS)

FACTS = [
    SEND_EMAIL,
    CREATE_EVENT,
    CANCEL_EVENT,
    SEARCH_EVENTS,
    DAY_EVENTS,
    _spec(
        "delete_email",
        effects=frozenset({"write"}),
        deed="delete",
        authority={"email_id": "which"},
        author="owner",
    ),
    _spec("get_unread_emails", **_MAILS),
    _spec("get_sent_emails", **_MAILS),
    _spec("get_received_emails", **_MAILS),
    _spec("get_draft_emails", **_MAILS),
    _spec("search_emails", **_MAILS),
    _spec("search_contacts_by_name", **_CONTACTS),
    _spec("search_contacts_by_email", **_CONTACTS),
    _spec("get_current_day", effects=_READ, author="owner"),
    _spec(
        "reschedule_calendar_event",
        effects=frozenset({"write"}),
        deed="change",
        authority={"event_id": "which", "new_start_time": "when", "new_end_time": "when"},
        undo="move the event back",
        private=True,
        fields=_EVENT,
        names=frozenset({"title"}),
    ),
    _spec(
        "add_calendar_event_participants",
        effects=frozenset({"write"}),
        deed="change",
        authority={"event_id": "which", "participants": "who"},
        private=True,
        fields=_EVENT,
        names=frozenset({"title"}),
    ),
    _spec(
        "append_to_file",
        effects=frozenset({"write"}),
        deed="change",
        authority={"file_id": "which"},
        undo="restore the version before",
        private=True,
        fields=_FILE,
        names=frozenset({"filename"}),
    ),
    _spec("search_files_by_filename", **_FILES),
    _spec("search_files", **_FILES),
    _spec("get_file_by_id", **_FILES),
    _spec("list_files", **_FILES),
    _spec(
        "create_file",
        effects=frozenset({"write"}),
        deed="create",
        writes=frozenset({"drive"}),
        authority={"filename": "which"},
        undo="delete the file",
        private=True,
        fields=_FILE,
        names=frozenset({"filename"}),
    ),
    _spec(
        "delete_file",
        effects=frozenset({"write"}),
        deed="delete",
        authority={"file_id": "which"},
        private=True,
        fields=_FILE,
    ),
    _spec(
        "share_file",
        effects=frozenset({"send"}),
        deed="share",
        authority={"file_id": "which", "email": "who"},
        audience=frozenset({"email"}),
        private=True,
        fields=_FILE,
    ),
]
