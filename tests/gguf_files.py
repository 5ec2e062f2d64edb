"""Writes out the GGUF files that tests put together."""

import gguf


def write_out(writer: gguf.GGUFWriter) -> None:
    """Write everything that a writer was given to its file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
