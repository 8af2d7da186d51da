using System.IO.Compression;
using System.Text;
using Diffract.Formats.Rows;
using Diffract.Runs;
using Diffract.Text;
using ZstdSharp;

namespace Diffract.Tests.Formats.Rows;

/// <summary>Damaged data files of every format give rows or our own error, within bounded memory and time.</summary>
public sealed class MutatedRowsTests : IDisposable
{
    const long MostBytes = 32 << 20;
    static readonly byte[] Lines = Encoding.UTF8.GetBytes("""
        {"id": "a", "turns": [{"role": "user", "content": "What do owls eat?"}, {"role": "assistant", "content": "Mice, say the \u00fcbers."}], "label": ["x", 3]}
        {"id": 2, "text": "The moon rose over the barn. \"Look\", said the owl."}
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": null}
        {"prompt": "q", "response": "a", "more": {"deep": [[[1.5e3, true, {}]]]}}

        """);

    static readonly byte[] List = Encoding.UTF8.GetBytes("[" + Encoding.UTF8.GetString(Lines).Trim().Replace("\n", ",\n", StringComparison.Ordinal) + "]");
    static readonly byte[] Csv = Encoding.UTF8.GetBytes("id,text,prompt,response\r\n1,\"a, \"\"b\"\"\nc\",q,a\r\n2,über,\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"q\"\"}]\",a\n3,,,\n");
    static readonly JsonMutations Structure = new([.. Encoding.UTF8.GetString(Lines).Split('\n').Where(l => l.Length > 0)]);
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Json_lines_with_damaged_bytes() => Check("JSON lines, by bytes", m => m.Damage(m.Next(4) == 0 ? List : Lines), "a.jsonl");

    [Fact]
    public void Json_lines_with_damaged_values() => Check("JSON lines, by values", m => Structure.Damage(m), "a.jsonl");

    [Fact]
    public void Csv_with_damaged_bytes() => Check("CSV", m => m.Damage(Csv), "a.csv");

    [Fact]
    public void Packed_lines()
    {
        byte[] many = [.. Enumerable.Repeat(Lines, 8).SelectMany(l => l)];
        using MemoryStream gzip = new();
        using (GZipStream zip = new(gzip, CompressionMode.Compress, leaveOpen: true))
        {
            zip.Write(many);
        }

        using Compressor compressor = new();
        byte[][] packed = [gzip.ToArray(), compressor.Wrap(many).ToArray()];
        Check("packed JSON lines (gzip, zstd)", m => m.Damage(packed[m.Next(2)]), "a.jsonl");
    }

    [Fact]
    public void Parquet_with_damaged_bytes()
    {
        byte[][] files = [.. Parquets()];
        Check("Parquet, by bytes", m => m.Damage(files[m.Next(files.Length)]), "a.parquet");
    }

    /// <summary>Numbers of the footer and of the first page headers, where lengths and counts are.</summary>
    [Fact]
    public void Parquet_with_damaged_values()
    {
        byte[][] files = [.. Parquets()];
        Check("Parquet, by values", m => Footer(m, files[m.Next(files.Length)]), "a.parquet");
    }

    static IEnumerable<byte[]> Parquets() => ((string[])["lmsys", "ultrachat", "fineweb", "brotli", "plain"]).Select(n => File.ReadAllBytes(GoldenFiles.Path($"data/{n}.parquet")));

    void Check(string kind, Func<Mutations, byte[]> damage, string name)
    {
        string file = Path.Combine(_folder.Path, name);
        MutatedFiles.Check(kind, MostBytes, damage, bytes =>
        {
            File.WriteAllBytes(file, bytes);
            _ = RowFile.Read(file, RowSelection.All).Count();
            foreach (TextKind which in Enum.GetValues<TextKind>())
            {
                Items(file, which);
            }
        });
    }

    /// <summary>As texts, as chats, and as either: what is read as what it is not is refused too, and says nothing of the damage.</summary>
    static void Items(string file, TextKind kind)
    {
        try
        {
            _ = TextRows.Read(file, new TextColumns(), kind).Count(i => i.Fault is null);
        }
        catch (DiffractException e)
        {
            Assert.DoesNotContain('\n', e.Message);
        }
    }

    static byte[] Footer(Mutations mutations, byte[] file)
    {
        int length = BitConverter.ToInt32(file, file.Length - 8), start = file.Length - 8 - length;
        List<byte> bytes = [.. file[..^8]];
        for (int i = 1 + mutations.Next(3); i > 0; i--)
        {
            int at = mutations.Next(3) == 0 ? 4 + mutations.Next(48) : start + mutations.Next(bytes.Count - start);
            ulong[] extremes = [0, 1, 2, 3, 7, 14, 100, 1000, 65535, 1 << 20, int.MaxValue, uint.MaxValue, long.MaxValue, ulong.MaxValue];
            bytes.RemoveAt(at);
            List<byte> number = [];
            ulong value = extremes[mutations.Next(extremes.Length)];
            for (; value >= 0x80; value >>= 7)
            {
                number.Add((byte)(value | 0x80));
            }

            bytes.InsertRange(at, [.. number, (byte)value]);
        }

        return [.. bytes, .. BitConverter.GetBytes(bytes.Count - start), .. "PAR1"u8];
    }
}
