using System.IO.Compression;
using System.Text;
using Diffract.Formats.Rows;
using Diffract.Runs;
using ZstdSharp;

namespace Diffract.Tests.Formats.Rows;

public sealed class RowFileTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Csv_has_quotes_line_breaks_and_quotes_in_quotes()
    {
        string file = _folder.File("a.csv", "id,text,label\r\n1,\"a, \"\"b\"\"\nc\",x\r\n2,,y\n3,é,\n");
        DataRow[] rows = [.. RowFile.Read(file, RowSelection.All)];
        Assert.Equal(["a, \"b\"\nc", "", "é"], rows.Select(r => r.Fields["text"]));
        Assert.Equal(["id", "text", "label"], rows[0].Columns!);
        Assert.Equal(["b\tc"], RowFile.Read(_folder.File("a.tsv", "text\tid\n\"b\tc\"\t7\n"), RowSelection.All).Select(r => r.Fields["text"]));
    }

    [Theory]
    [InlineData("text,id\na\n", "line")]
    [InlineData("text,id\n\"a,1\nb,2\n", "line")]
    public void Csv_that_its_header_does_not_fit_is_refused_by_line(string csv, string message)
    {
        string file = _folder.File("bad.csv", csv);
        DiffractException e = Assert.Throws<DiffractException>(() => RowFile.Read(file, RowSelection.All).Count());
        Assert.Contains("bad.csv " + message, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(TextUnit.Line, "a|b|c d|e")]
    [InlineData(TextUnit.Paragraph, "a\nb|c d\ne")]
    [InlineData(TextUnit.File, "a\nb\n\n\nc d\ne")]
    public void Plain_text_is_cut_as_asked(TextUnit unit, string expected)
    {
        string file = _folder.File("a.txt", "a\r\nb\n\n  \nc d\ne");
        Assert.Equal(expected, string.Join('|', RowFile.Read(file, new RowSelection { Unit = unit }).Select(r => ((string)r.Fields["text"]!).Replace("\n  \n", "\n\n", StringComparison.Ordinal))));
    }

    [Fact]
    public void A_list_of_objects_is_cut_at_its_own_commas()
    {
        string file = _folder.File("list.json", " [ {\"text\": \"a,]\\\"}\", \"x\": [1, {\"y\": 2}]} ,\n{\"text\": \"b\"}\n]\n");
        DataRow[] rows = [.. RowFile.Read(file, RowSelection.All)];
        Assert.Equal(["a,]\"}", "b"], rows.Select(r => r.Fields["text"]));
        Assert.Equal([1, 2], rows.Select(r => r.Number));
        Assert.Empty(RowFile.Read(_folder.File("empty.json", "[]"), RowSelection.All));
        foreach ((string text, string message) in ((string, string)[])[("[{\"a\": 1}", "not closed"), ("[{\"a\": 1}] x", "does not belong"), ("[{\"a\": 1},]", "does not belong"), ("[1]", "is a JSON number"), ("[{\"a\": 1} {\"a\": 2}]", "is not JSON")])
        {
            Assert.Contains(message, Assert.Throws<DiffractException>(() => RowFile.Read(_folder.File("bad.json", text), RowSelection.All).Count()).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Gzip_and_zstandard_are_told_by_their_bytes_and_damage_by_name()
    {
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 5000).Select(i => $"{{\"text\": \"é {i * 7919}\"}}\n")));
        using Compressor compressor = new();
        byte[] zstd = compressor.Wrap(text).ToArray();
        byte[] twice = [.. Zipped(text[..1000]), .. Zipped(text[1000..])];
        foreach (byte[] packed in (byte[][])[text, Zipped(text), twice, zstd])
        {
            string file = Path.Combine(_folder.Path, "named_as_nothing");
            File.WriteAllBytes(file, packed);
            Assert.Equal(Enumerable.Range(0, 5000).Select(i => $"é {i * 7919}"), RowFile.Read(file, RowSelection.All).Select(r => (string)r.Fields["text"]!));
            if (packed != text)
            {
                foreach (int length in (int[])[packed.Length / 2, packed.Length - 1, packed.Length - 9])
                {
                    File.WriteAllBytes(file, packed[..length]);
                    Assert.Contains("cannot be unpacked", Assert.Throws<DiffractException>(() => RowFile.Read(file, RowSelection.All).Count()).Message, StringComparison.Ordinal);
                }
            }
        }
    }

    [Fact]
    public void A_line_that_is_too_long_is_refused_by_its_number()
    {
        string file = Path.Combine(_folder.Path, "long.jsonl.gz");
        using (GZipStream zip = new(File.Create(file), CompressionLevel.Fastest))
        {
            zip.Write("{\"text\": \"a\"}\n"u8);
            byte[] block = new byte[1 << 20];
            Array.Fill(block, (byte)'x');
            for (int i = 0; i < 65; i++)
            {
                zip.Write(block);
            }
        }

        Assert.Contains("line 2 is longer than 64 MiB", Assert.Throws<DiffractException>(() => RowFile.Read(file, RowSelection.All).Count()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Folders_and_patterns_give_files_in_ordinal_order()
    {
        foreach (string name in (string[])["b/2.jsonl", "b/10.jsonl.gz", "a/x.parquet", "a/README.md", "a/.hidden/y.csv", "a/_tmp.csv", "dataset_info.json", "Z.csv"])
        {
            _folder.File(name, "");
        }

        string[] Names(string text) => [.. DataFiles.Find(Path.Combine(_folder.Path, text)).Select(f => Path.GetRelativePath(_folder.Path, f).Replace('\\', '/'))];
        Assert.Equal(["Z.csv", "a/x.parquet", "b/10.jsonl.gz", "b/2.jsonl"], Names(""));
        Assert.Equal(["b/10.jsonl.gz", "b/2.jsonl"], Names("b/*.jsonl*"));
        Assert.Equal(["b/2.jsonl"], Names("**/?.jsonl"));
        Assert.Equal(["a/README.md"], Names("a/README.md"));
        Assert.Equal(DiffractException.BadArguments, Assert.Throws<DiffractException>(() => Names("c")).ExitCode);
        Assert.Contains("no file to read", Assert.Throws<DiffractException>(() => Names("a/*.jsonl")).Message, StringComparison.Ordinal);
    }

    static byte[] Zipped(byte[] bytes)
    {
        using MemoryStream packed = new();
        using (GZipStream zip = new(packed, CompressionMode.Compress, leaveOpen: true))
        {
            zip.Write(bytes);
        }

        return packed.ToArray();
    }
}
