"""An ``nvidia-smi`` that answers like the driver's, for a machine with MIG devices and without."""

from pathlib import Path

# As printed by drivers 535 to 580, shortened: the XML has no UUIDs of MIG devices.
WITHOUT_MIG = (
    """\
GPU 0: NVIDIA H200 (UUID: GPU-1b724e78-eef5-4163-d43c-e4da15d41176)
GPU 1: NVIDIA GeForce RTX 4070 Laptop GPU (UUID: GPU-61a65011-6571-a6d2-5ab8-66cbb6f7f9c3)
""",
    """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
	<driver_version>580.65.06</driver_version>
	<attached_gpus>2</attached_gpus>
	<gpu id="00000000:10:00.0">
		<product_name>NVIDIA H200</product_name>
		<mig_mode><current_mig>Disabled</current_mig><pending_mig>Disabled</pending_mig></mig_mode>
		<mig_devices>
			None
		</mig_devices>
		<uuid>GPU-1b724e78-eef5-4163-d43c-e4da15d41176</uuid>
		<fb_memory_usage>
			<total>143771 MiB</total><reserved>628 MiB</reserved>
			<used>512 MiB</used><free>142631 MiB</free>
		</fb_memory_usage>
		<bar1_memory_usage><total>262144 MiB</total><used>1 MiB</used></bar1_memory_usage>
	</gpu>
	<gpu id="00000000:18:00.0">
		<product_name>NVIDIA GeForce RTX 4070 Laptop GPU</product_name>
		<mig_mode><current_mig>N/A</current_mig><pending_mig>N/A</pending_mig></mig_mode>
		<mig_devices>
			None
		</mig_devices>
		<uuid>GPU-61a65011-6571-a6d2-5ab8-66cbb6f7f9c3</uuid>
		<fb_memory_usage><total>8188 MiB</total><used>0 MiB</used></fb_memory_usage>
	</gpu>
</nvidia_smi_log>
""",
)
WITH_MIG = (
    """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-feba7e40-d724-01ff-b00f-3a439a28a6c7)
  MIG 3g.20gb     Device  0: (UUID: MIG-7089d0f3-293f-58c9-8f8c-5ea666eedbde)
  MIG 2g.10gb     Device  1: (UUID: MIG-56c30729-347f-5dd6-8da0-c3cc59e969e0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-f124aa59-d406-d45b-9481-8fcd694e6c9e)
""",
    """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
	<driver_version>580.65.06</driver_version>
	<attached_gpus>2</attached_gpus>
	<gpu id="00000000:10:00.0">
		<product_name>NVIDIA A100-SXM4-40GB</product_name>
		<mig_mode><current_mig>Enabled</current_mig><pending_mig>Enabled</pending_mig></mig_mode>
		<mig_devices>
			<mig_device>
				<index>0</index>
				<gpu_instance_id>2</gpu_instance_id>
				<compute_instance_id>0</compute_instance_id>
				<fb_memory_usage><total>19968 MiB</total><used>4864 MiB</used></fb_memory_usage>
			</mig_device>
			<mig_device>
				<index>1</index>
				<gpu_instance_id>3</gpu_instance_id>
				<compute_instance_id>0</compute_instance_id>
				<fb_memory_usage><total>9856 MiB</total><used>25 MiB</used></fb_memory_usage>
			</mig_device>
		</mig_devices>
		<uuid>GPU-feba7e40-d724-01ff-b00f-3a439a28a6c7</uuid>
		<fb_memory_usage><total>40960 MiB</total><used>N/A</used></fb_memory_usage>
	</gpu>
	<gpu id="00000000:15:00.0">
		<product_name>NVIDIA A100-SXM4-40GB</product_name>
		<mig_mode><current_mig>Disabled</current_mig><pending_mig>Disabled</pending_mig></mig_mode>
		<mig_devices>
			None
		</mig_devices>
		<uuid>GPU-f124aa59-d406-d45b-9481-8fcd694e6c9e</uuid>
		<fb_memory_usage><total>40960 MiB</total><used>7 MiB</used></fb_memory_usage>
	</gpu>
</nvidia_smi_log>
""",
)
MIG = ("MIG-7089d0f3-293f-58c9-8f8c-5ea666eedbde", "MIG-56c30729-347f-5dd6-8da0-c3cc59e969e0")
WHOLE = "GPU-f124aa59-d406-d45b-9481-8fcd694e6c9e"


def script(answers: tuple[str, str]) -> str:
    """Return a shell script; as the driver, it takes no name of a MIG device for ``--id``."""
    listed, described = answers
    return f"""#!/bin/sh
case "$*" in
*--id=MIG*) echo "No devices were found"; exit 6 ;;
-L) /bin/cat <<'END'
{listed}
END
;;
"-q -x"|"-q -x --id=GPU-"*) /bin/cat <<'END'
{described}
END
;;
*) echo "ERROR: Option $* is not recognized."; exit 2 ;;
esac
"""


def install(folder: Path, answers: tuple[str, str]) -> None:
    """Write it into a folder of PATH."""
    path = folder / "nvidia-smi"
    path.write_text(script(answers))
    path.chmod(0o755)
