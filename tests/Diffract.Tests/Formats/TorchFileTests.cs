using System.Numerics;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Formats;

public sealed class TorchFileTests : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("values.pt")]
    [InlineData("values_protocol4.pt")]
    [InlineData("values_protocol5.pt")]
    [InlineData("values_older.pt")]
    public void Values_of_every_kind_are_read(string name)
    {
        using TorchFile file = new(GoldenFiles.Path("torch/" + name));
        PickleDict root = Assert.IsType<PickleDict>(file.Root);
        Assert.Equal(3L, root["step"]);
        Assert.Equal([1L, 2.5, null, true, false, "x"], Assert.IsType<List<object?>>(root["items"]));
        PickleTuple pair = Assert.IsType<PickleTuple>(root["pair"]);
        Assert.Equal([2L, "two"], Assert.IsType<PickleTuple>(pair.Items[1]).Items);
        Assert.Equal([97, 98, 99, 255], Assert.IsType<byte[]>(root["bytes"]));
        Assert.Equal(BigInteger.Pow(2, 70), root["big"]);
        Assert.Equal(-(1L << 40), root["negative"]);
        Assert.Equal([5L], Assert.IsType<List<object?>>(root["set"]));
        Assert.Equal([2L, 3L], Assert.IsType<PickleTuple>(root["size"]).Items);
        Assert.Equal("torch.float32", Assert.IsType<PickleGlobal>(root["dtype"]).FullName);
        Assert.Equal("cpu", root["device"]);
        PickleDict state = Assert.IsType<PickleDict>(Assert.IsType<PickleDict>(root["nested"])["state"]);
        Assert.Equal(0L, Assert.Single(state.Items).Key);
        Assert.Throws<DiffractException>(() => root["no"]);
    }

    [Theory]
    [InlineData("values.pt")]
    [InlineData("values_protocol4.pt")]
    [InlineData("values_older.pt")]
    public void Tensors_of_every_type_and_stride_are_read(string name)
    {
        using TorchStateDict file = new(GoldenFiles.Path("torch/" + name));
        float[] ramp = [.. Enumerable.Range(0, 24).Select(i => i - 3.5f)];
        Assert.Equal(ramp[..6], file.Floats("parameter", 2, 3));
        Assert.Equal([ramp[5], ramp[8], ramp[11], ramp[14], ramp[17]], file.Floats("sliced", 5));

        // permute(2, 0, 1) of [2, 3, 4]: element (i, j, k) is (j, k, i) of the ramp.
        Assert.Equal([.. from i in Enumerable.Range(0, 4) from j in Enumerable.Range(0, 2) from k in Enumerable.Range(0, 3) select ramp[j * 12 + k * 4 + i]], file.Floats("turned", 4, 2, 3));
        Assert.Equal([.. from i in Enumerable.Range(0, 3) from j in Enumerable.Range(0, 2) select (float)(Half)(ramp[j * 3 + i] / 3)], file.Floats("half", 3, 2));
        Assert.Equal(-1.1640625f, file.Floats("bfloat16", 5)[0]);
        Assert.Equal([.. ramp.Select(v => (double)v / 7)], file.Doubles("double", 24));
        Assert.Equal([1, -(1L << 60)], file.Integers("int64", 2));
        Assert.Equal([7, -7], file.Integers("int32", 2, 1));
        Assert.Equal([-300], file.Integers("int16"));
        Assert.Equal([-1, 1], file.Integers("int8"));
        Assert.Equal([255], file.Integers("uint8"));
        Assert.Equal([1, 0, 1], file.Integers("bool"));
        Assert.Equal([0.25f], file.Floats("scalar"));
        Assert.Empty(file["scalar"].Shape);
        Assert.Empty(file.Floats("empty", 0, 4));
        Assert.False(file.Tensors.ContainsKey("step"));
    }

    [Theory]
    [InlineData("whole_module.pt", "torch.nn.modules.linear.Linear, which is not on the list")]
    [InlineData("expanded.pt", "more elements than the 1 of its storage")]
    public void What_the_list_does_not_allow_is_refused_by_name(string name, string message)
        => Assert.Contains(message, Fails(GoldenFiles.Path("torch/" + name)), StringComparison.Ordinal);

    [Theory]
    [InlineData("cposix\nsystem\nX\u0004\0\0\0true\u0085R.", "posix.system, which is not on the list")]
    [InlineData("cbuiltins\neval\n.", "builtins.eval, which is not on the list")]
    [InlineData("(iposix\nsystem\n.", "opcode 0x69 is not allowed")]
    [InlineData("K\u0001K\u0002.", "ends with 2 values")]
    [InlineData("t.", "mark that is not there")]
    [InlineData("a.", "empty stack")]
    [InlineData("h\u0003.", "recalls value 3")]
    [InlineData("X\u00ff\u00ff\u00ff\u007fabc", "a value of 2147483647 bytes")]
    [InlineData("K", "1 bytes at a place where 0 are left")]
    [InlineData("I1\n.", "opcode 0x49 is not allowed")]
    public void A_pickle_that_may_not_be_read_says_why(string pickle, string message)
    {
        string path = Path.Combine(_folder.Path, "x.pt");
        byte[] bytes = [0x80, 2, .. pickle.Select(c => (byte)c)];
        File.WriteAllBytes(path, TorchBytes.Zip(("x/data.pkl", bytes), ("x/version", "3\n"u8.ToArray())));
        Assert.Contains(message, Fails(path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_small_pickle_cannot_make_a_large_value()
    {
        // A list of 100,000 in the memo, turned into a dict again and again.
        List<byte> pickle = [0x80, 2, .. "ccollections\nOrderedDict\nq\0]q\u0001("u8];
        for (int i = 0; i < 100_000; i++)
        {
            pickle.AddRange([(byte)'N', (byte)'N', 0x86]);
        }

        pickle.Add((byte)'e');
        for (int i = 0; i < 10_000; i++)
        {
            pickle.AddRange([(byte)'h', 0, (byte)'h', 1, 0x85, (byte)'R']);
        }

        string path = Path.Combine(_folder.Path, "x.pt");
        File.WriteAllBytes(path, TorchBytes.Zip(("x/data.pkl", [.. pickle])));
        Assert.Contains("opcodes", Fails(path), StringComparison.Ordinal);
    }

    [Fact]
    public void Damage_is_found()
    {
        byte[] bytes = File.ReadAllBytes(GoldenFiles.Path("torch/values.pt"));
        string path = Path.Combine(_folder.Path, "x.pt");
        File.WriteAllBytes(path, bytes[..^200]);
        Assert.Contains("truncated", Fails(path), StringComparison.Ordinal);
        bytes[bytes.AsSpan().IndexOf(BitConverter.GetBytes(-3.5f))] ^= 1;
        File.WriteAllBytes(path, bytes);
        Assert.Contains("checksum", Fails(path), StringComparison.Ordinal);
        bytes = File.ReadAllBytes(GoldenFiles.Path("torch/values_older.pt"));
        File.WriteAllBytes(path, bytes[..^20]);
        Assert.Contains("truncated", Fails(path), StringComparison.Ordinal);
        File.WriteAllText(path, "hello");
        Assert.Contains("not a file of torch.save", Fails(path), StringComparison.Ordinal);
        File.WriteAllBytes(path, []);
        Assert.Contains("not a file of torch.save", Fails(path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_compressed_record_is_refused()
    {
        string path = Path.Combine(_folder.Path, "x.pt");
        using (System.IO.Compression.ZipArchive zip = System.IO.Compression.ZipFile.Open(path, System.IO.Compression.ZipArchiveMode.Create))
        {
            using Stream entry = zip.CreateEntry("x/data.pkl").Open();
            entry.Write(new byte[10000]);
        }

        Assert.Contains("is compressed", Fails(path), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_written_is_read_back_to_the_same_bits()
    {
        TorchWriter writer = new();
        writer.Add("a.weight", new float[] { 1, float.NaN, -0.0f, 3, 4, 5 }, 2, 3);
        writer.Add("größe", new long[] { long.MinValue }, []);
        writer.Add("k", new[] { 7 }, []);
        writer.AddBytes("b16", "BF16", [3], 6, s => s.Write([1, 2, 3, 4, 5, 6]));
        writer.Add("none", Array.Empty<double>(), 0, 2);
        string path = Path.Combine(_folder.Path, "model_final.pt");
        writer.Save(path);
        using TorchStateDict file = new(path);
        Assert.Equal(["a.weight", "größe", "k", "b16", "none"], file.Tensors.Keys);
        Assert.Equal([1, float.NaN, -0.0f, 3, 4, 5], file.Floats("a.weight", 2, 3));
        Assert.Equal([long.MinValue], file.Integers("größe"));
        Assert.Equal([1, 2, 3, 4, 5, 6], file.Bytes("b16").ToArray());
        Assert.Equal([2, 0], [.. file["none"].Shape.Reverse()]);

        // Any other reader of zip archives agrees on the checksums.
        using System.IO.Compression.ZipArchive zip = System.IO.Compression.ZipFile.OpenRead(path);
        Assert.Equal("model_final/data.pkl", zip.Entries[0].FullName);
        foreach (System.IO.Compression.ZipArchiveEntry entry in zip.Entries)
        {
            using Stream stream = entry.Open();
            stream.CopyTo(Stream.Null);
        }
    }

    static string Fails(string path) => Assert.Throws<DiffractException>(() => new TorchStateDict(path)).Message;
}
