"""``secateur latencies``."""

from app.cli.output import latencies_table
from app.cli.stored_commands import Kind, stored_app
from secateur import Client

app = stored_app(
    Kind(
        command="latencies",
        help="List latencies that devices measured; delete or restore some.",
        noun="latencies",
        metavar="LATENCIES",
        reference="Id or name.",
        items=Client.latencies,
        get=Client.get_latencies,
        delete=Client.delete_latencies,
        restore=Client.restore_latencies,
        table=latencies_table,
    )
)
