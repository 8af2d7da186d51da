using System.Buffers.Binary;
using Diffract.Formats.Rows;
using Diffract.Runs;
using Microsoft.Win32.SafeHandles;

namespace Diffract.Formats.Parquet;

/// <summary>
/// Rows of a Parquet file, of the columns that are wanted: strings, numbers, truth values, and lists and structs of them. A page of each column is in memory at a time, however large the row groups are.
/// Read by our own code and not by a library, because files come from elsewhere: a damaged one must neither take memory by what it claims nor time without end, which no library here promises, and a row group
/// of gigabytes must not be held at once.
/// </summary>
static class ParquetRows
{
    const int TailBytes = 8;
    const int MostFooter = 256 << 20;

    /// <exception cref="DiffractException">The file is damaged, or holds what is not read.</exception>
    public static IEnumerable<DataRow> Read(string path, RowSelection selection)
    {
        using SafeFileHandle file = Open(path);
        ParquetFooter footer = Guarded(path, null, () => Footer(file));
        string[] columns = [.. footer.Columns.Select(c => c.Name)];
        IReadOnlyCollection<string> wanted = selection.Of(columns);
        int number = 0;
        foreach (ParquetRowGroup group in footer.RowGroups)
        {
            RowAssembly[] assemblies = [];
            string[] names = [];
            if (group.Rows > 0)
            {
                ParquetNode[] nodes = [.. footer.Columns.Where(c => wanted.Contains(c.Name)).DistinctBy(c => c.Name)];
                names = [.. nodes.Select(n => n.Name)];
                assemblies = [.. nodes.Select(n => new RowAssembly(n, [.. Leaves(n, selection.Members).Select(l => new ColumnReader(file, l, group.Chunks[l.Leaf]))]))];
            }

            for (long row = 0; row < group.Rows; row++)
            {
                number++;
                Dictionary<string, object?> fields = new(names.Length);
                for (int i = 0; i < names.Length; i++)
                {
                    RowAssembly assembly = assemblies[i];
                    fields[names[i]] = Guarded(path, number, assembly.Next);
                }

                yield return new DataRow(path, number, fields) { Unit = "row", Columns = columns };
            }
        }
    }

    /// <summary>The leaves of a column; of structs inside lists only the members that are wanted, unless none of them is.</summary>
    static ParquetNode[] Leaves(ParquetNode column, IReadOnlySet<string>? members)
    {
        ParquetNode[] all = [.. column.Leaves()];
        ParquetNode[] some = members is null ? all : [.. all.Where(l => l.Repeated > 0 && members.Contains(l.Name))];
        return some.Length > 0 ? some : all;
    }

    static SafeFileHandle Open(string path)
    {
        try
        {
            return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read, FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read {path}: {e.Message}", inner: e);
        }
    }

    static ParquetFooter Footer(SafeFileHandle file)
    {
        long length = RandomAccess.GetLength(file);
        byte[] tail = new byte[TailBytes];
        if (length < TailBytes + 4 || RandomAccess.Read(file, tail, length - TailBytes) != TailBytes || !tail.AsSpan(4).SequenceEqual("PAR1"u8))
        {
            throw new InvalidDataException("it does not end with PAR1: it is truncated, or no Parquet file");
        }

        uint bytes = BinaryPrimitives.ReadUInt32LittleEndian(tail);
        if (bytes > length - TailBytes - 4 || bytes > MostFooter)
        {
            throw new InvalidDataException($"its description has {bytes} bytes, the file {length}");
        }

        byte[] footer = new byte[bytes];
        long start = length - TailBytes - bytes;
        for (int at = 0; at < footer.Length;)
        {
            int read = RandomAccess.Read(file, footer.AsSpan(at), start + at);
            at += read > 0 ? read : throw new InvalidDataException("it is shorter than a moment ago");
        }

        return new ParquetFooter(footer, start);
    }

    /// <summary>Turns what is found to be wrong into our own error.</summary>
    static T Guarded<T>(string path, int? row, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception e) when (e is InvalidDataException or IOException)
        {
            throw new DiffractException($"{path} cannot be read as Parquet{(row is null ? "" : $" at row {row}")}: {e.Message}; fetch it again, or give the rows as JSON lines", inner: e);
        }
    }
}
