using Diffract.Cpu;
using Diffract.Formats;
using Diffract.Latents;
using Diffract.Runs;
using Diffract.Tests.Scaling;

namespace Diffract.Tests.Latents;

/// <summary>The table from weights alone, against the published statistics tools.</summary>
public sealed class LooseLatentsTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly CpuBackend _backend = new(CpuPaths.Best, 2);

    public void Dispose()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("l1", "batchtopk")]
    [InlineData("batchtopk", "l1")]
    public void The_table_is_that_of_the_published_tools(string dictionary, string other)
    {
        string output = Path.Combine(_folder.Path, "t.csv");
        LooseLatents.Run(_backend, new SilentProgress(), new LooseLatentsSettings { Folder = Unpack(dictionary), Against = Unpack(other), Out = output }, TestContext.Current.CancellationToken);
        FeatureTable table = FeatureTable.Read(output);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFiles.Path($"statistics/latents_{dictionary}.safetensors"));
        Assert.Equal(10, golden.Tensors.Count);
        foreach (string column in golden.Tensors.Keys.Where(k => k != "tag"))
        {
            Assert.Equal(golden.Doubles(column), table.Numbers(column), (a, b) => double.IsNaN(a) ? double.IsNaN(b) : Math.Abs(a - b) <= 1e-6 + 1e-5 * Math.Abs(a));
        }

        Assert.Equal(golden.Integers("tag"), table.Text("tag").Select(t => (long)LatentClasses.Parse(t)!.Value));
        Assert.Equal(table.Numbers("dec_norm_diff"), table.Numbers("delta_norm").Select(d => 1 - d));
    }

    [Fact]
    public void The_largest_cosine_of_a_dictionary_to_itself_is_its_own_row()
    {
        string output = Path.Combine(_folder.Path, "t.csv"), folder = Unpack("batchtopk");
        LooseLatents.Run(_backend, new SilentProgress(), new LooseLatentsSettings { Folder = folder, Against = folder, Out = output }, TestContext.Current.CancellationToken);
        FeatureTable table = FeatureTable.Read(output);
        double[] norm = table.Numbers("dec_instruct_norm");
        Assert.All(Enumerable.Range(0, 128).Where(j => norm[j] > 0), j =>
        {
            Assert.Equal(1, table.Numbers("max_cos_chat_to_batchtopk")[j], 1e-6);
            Assert.Equal(j, table.Numbers("max_cos_chat_latent_batchtopk")[j]);
        });
    }

    [Fact]
    public void Other_columns_and_the_published_sets_are_written()
    {
        string input = _folder.File("feature_df.csv", ",note,tag\n" + string.Concat(Enumerable.Range(0, 128).Select(j => $"{j},n{j},Other\n"))), sets = Path.Combine(_folder.Path, "sets");
        string output = Path.Combine(_folder.Path, "t.csv");
        ListProgress progress = new();
        LooseLatentsSettings settings = new() { Folder = Unpack("l1"), Table = input, Sets = sets, Lowest = 30, Sample = 3, Out = output };
        LooseLatents.Run(_backend, progress, settings, TestContext.Current.CancellationToken);
        FeatureTable table = FeatureTable.Read(output);
        Assert.Equal(["note", "tag"], table.Columns.Take(2));
        Assert.Equal("n127", table.Text("note")[127]);
        Assert.Contains("Chat only", table.Text("tag"));
        int[] lowest = IndexFile.Read("--latents", Path.Combine(sets, "effective_chat_only_latents.json"), 128);
        double[] diff = table.Numbers("dec_norm_diff");
        Assert.Equal(diff.Where(d => !double.IsNaN(d)).Order().Take(30), lowest.Select(j => diff[j]));
        Assert.Equal(14, Directory.GetFiles(sets).Length);
        using TorchFile torch = new(Path.Combine(sets, "low_norm_diff_indices_30.pt"));
        Assert.Equal([30L], Assert.IsType<TorchTensor>(torch.Root).Shape);
        Assert.Contains(progress.Warnings, l => l.Contains("shared_indices_sample has 3 latents, fewer than 20", StringComparison.Ordinal));
    }

    [Fact]
    public void An_sae_has_norms_and_no_norm_difference()
    {
        string output = Path.Combine(_folder.Path, "t.csv");
        LooseLatentsSettings settings = new() { Folder = Unpack("sae_chat"), Out = output };
        LooseLatents.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken);
        FeatureTable table = FeatureTable.Read(output);
        Assert.Equal(["dec_norm", "enc_norm"], table.Columns);
        Assert.Contains("is an SAE of one", Refused(settings with { Sets = _folder.Path }), StringComparison.Ordinal);
    }

    [Fact]
    public void A_table_of_another_dictionary_is_refused()
        => Assert.Contains(
            "has 2 rows", Refused(new LooseLatentsSettings { Folder = Unpack("l1"), Table = _folder.File("feature_df.csv", ",a\n0,1\n1,1\n"), Out = Path.Combine(_folder.Path, "t.csv") }), StringComparison.Ordinal);

    string Refused(LooseLatentsSettings settings)
        => Assert.Throws<DiffractException>(() => LooseLatents.Run(_backend, new SilentProgress(), settings, TestContext.Current.CancellationToken)).Message;

    string Unpack(string dictionary)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder.Path, dictionary)).FullName;
        GoldenDictionary.Unpack(dictionary, folder);
        return folder;
    }
}
