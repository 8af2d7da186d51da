using System.Text;
using Diffract.Formats.Hub;
using Diffract.Runs;

namespace Diffract.Tests.Formats.Hub;

public sealed class HubDataTests : IDisposable
{
    const string Card = """
        ---
        license: odc-by
        configs:
        - config_name: default
          data_files:
          - split: train
            path: data/*/*
        - config_name: small
          data_files:
          - split: train
            path: sample/train*.parquet
          - split: test
            path:
            - sample/test.parquet
            - sample/more.csv
        ---
        # A data set
        """;

    readonly TemporaryFolder _folder = new();
    readonly HubServer _server = new();
    readonly ListProgress _progress = new();

    public HubDataTests()
    {
        _server.Files["README.md"] = Encoding.UTF8.GetBytes(Card);
        foreach (string name in (string[])["data/CC-2/000.parquet", "data/CC-10/000.parquet", "data/CC-10/001.parquet", "sample/train-1.parquet", "sample/test.parquet", "sample/more.csv", "sample/notes.pdf"])
        {
            byte[] bytes = new byte[2000 + _server.Files.Count];
            new Random(_server.Files.Count).NextBytes(bytes);
            _server.Files[name] = bytes;
        }
    }

    string Cache => Path.Combine(_folder.Path, "hub");

    string Snapshot => Path.Combine(Cache, "datasets--org--data", "snapshots", HubServer.Commit);

    HubSettings Settings => new() { Cache = Cache, Endpoint = new Uri(_server.Address + "/"), Pause = TimeSpan.FromMilliseconds(1), Idle = TimeSpan.FromSeconds(20) };

    public void Dispose()
    {
        _server.Dispose();
        _folder.Dispose();
    }

    string[] Resolve(string name, long? tokens = null, bool offline = false)
        => [.. HubData.Resolve(name, tokens, Settings with { Offline = offline }, _progress, default).Select(f => Path.GetRelativePath(Snapshot, f).Replace('\\', '/'))];

    void Only(params string[] names)
    {
        _server.Files.Clear();
        foreach (string name in names)
        {
            _server.Files[name] = Encoding.UTF8.GetBytes(name);
        }
    }

    [Fact]
    public void Files_of_a_configuration_and_split_are_fetched_into_the_layout_of_the_hubs_own_tools()
    {
        Assert.Equal(["data/CC-10/000.parquet", "data/CC-10/001.parquet", "data/CC-2/000.parquet"], Resolve("org/data"));
        Assert.Equal(["sample/more.csv", "sample/test.parquet"], Resolve("org/data:small:test"));

        foreach (string name in (string[])["data/CC-10/001.parquet", "sample/more.csv"])
        {
            Assert.Equal(_server.Files[name], File.ReadAllBytes(Path.Combine(Snapshot, name)));
            Assert.NotNull(new FileInfo(Path.Combine(Snapshot, name)).LinkTarget);
        }

        Assert.Equal(HubServer.Commit, File.ReadAllText(Path.Combine(Cache, "datasets--org--data", "refs", "main")));
        Assert.DoesNotContain(_server.Downloads, r => r.Path.EndsWith("train-1.parquet", StringComparison.Ordinal));
    }

    [Fact]
    public void What_is_in_the_cache_is_taken_without_asking_the_network()
    {
        string[] files = Resolve("org/data:small");
        int asked = _server.Requests.Count;
        Assert.Equal(files, Resolve("org/data:small"));
        Assert.Equal(files, Resolve("org/data@" + HubServer.Commit + ":small:train", offline: true));

        // As other tools leave a cache: without our list.
        Directory.Delete(Path.Combine(Cache, "datasets--org--data", ".diffract"), recursive: true);
        Assert.Equal(files, Resolve("org/data:small", offline: true));
        Assert.Equal(asked, _server.Requests.Count);
        Assert.Contains("HF_HUB_OFFLINE", Assert.Throws<DiffractException>(() => Resolve("org/other", offline: true)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void No_more_files_are_fetched_than_hold_the_tokens()
    {
        Assert.Equal(["data/CC-10/000.parquet"], Resolve("org/data", tokens: 100));
        Assert.Equal(["data/CC-10/000.parquet", "data/CC-10/001.parquet"], Resolve("org/data", tokens: 200));
        Assert.Contains(_progress.Lines, t => t.Contains("2 of 3 files of org/data are taken", StringComparison.Ordinal));
    }

    [Fact]
    public void An_address_names_files_by_path_folder_or_pattern()
    {
        Assert.Equal(["sample/more.csv"], Resolve("hf://datasets/org/data/sample/more.csv"));
        Assert.Equal(["data/CC-10/000.parquet", "data/CC-10/001.parquet"], Resolve("hf://datasets/org/data@main/data/CC-10"));
        Assert.Equal(["data/CC-10/000.parquet", "data/CC-2/000.parquet"], Resolve("hf://datasets/org/data/**/000.parquet"));
        Assert.Contains("means no file", Assert.Throws<DiffractException>(() => Resolve("hf://datasets/org/data/nothing/*")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("org/data:tiny", "no configuration tiny; it has default, small")]
    [InlineData("org/data:test", "test is a split: write org/data::test")]
    [InlineData("org/data:small:dev", "no split dev in the configuration small; it has test, train")]
    [InlineData("org/none", "was not found")]
    public void What_is_not_there_is_said_with_what_is(string name, string message)
        => Assert.Contains(message, Assert.Throws<DiffractException>(() => Resolve(name)).Message, StringComparison.Ordinal);

    [Fact]
    public void Without_a_card_the_names_of_the_files_say_their_splits()
    {
        Only("data/train_sft-00000-of-00002.parquet", "data/train_sft-00001-of-00002.parquet", "data/test_sft-00000-of-00001.parquet");
        Assert.Equal(["data/train_sft-00000-of-00002.parquet", "data/train_sft-00001-of-00002.parquet"], Resolve("org/data::train_sft"));
        Assert.Contains("it has test_sft, train_sft", Assert.Throws<DiffractException>(() => Resolve("org/data")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Words_in_the_names_of_files_are_splits()
    {
        Only("my-train.csv", "valid/a.jsonl", "test.jsonl");
        Assert.Equal(["my-train.csv"], Resolve("org/data"));
        Assert.Equal(["valid/a.jsonl"], Resolve("org/data::validation"));
    }

    [Fact]
    public void The_hubs_own_conversion_has_a_folder_a_configuration()
    {
        Only("de/train/0000.parquet", "en/test/0000.parquet", "en/train/0000.parquet");
        Assert.Equal(["en/train/0000.parquet"], Resolve("org/data:en"));
    }

    [Fact]
    public void A_download_that_drops_is_gone_on_with_and_one_that_lies_is_refused()
    {
        int left = 3;
        _server.Spoil = r => r.Path.EndsWith("train-1.parquet", StringComparison.Ordinal) && left-- > 0 ? _server.Honest(r) with { CutAfter = 500 } : null;
        Resolve("org/data:small");
        Assert.Equal([0L, 500, 1000, 1500], _server.Downloads.Where(r => r.Path.EndsWith("train-1.parquet", StringComparison.Ordinal)).Select(r => r.From ?? 0));

        _server.Spoil = r => r.Path.EndsWith("more.csv", StringComparison.Ordinal) ? new HubAnswer(200, new byte[_server.Files["sample/more.csv"].Length]) : null;
        Assert.Contains("the hub lists", Assert.Throws<DiffractException>(() => Resolve("org/data:small:test")).Message, StringComparison.Ordinal);
        _server.Spoil = _ => null;
        Assert.Equal(2, Resolve("org/data:small:test").Length);
    }

    [Fact]
    public void A_gated_data_set_says_what_to_do()
    {
        _server.Spoil = r => r.Path.Contains("/resolve/", StringComparison.Ordinal) ? new HubAnswer(403, []) { Headers = { ["X-Error-Code"] = "GatedRepo" } } : null;
        Assert.Contains($"accept its terms on {_server.Address}/datasets/org/data", Assert.Throws<DiffractException>(() => Resolve("org/data")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_there_is_meant_and_a_path_is_not_asked_for()
    {
        string file = _folder.File("org/data", "x");
        Assert.Equal(file, HubData.Resolve(file, null, Settings, _progress, default).Single());
        Assert.Contains("does not exist", Assert.Throws<DiffractException>(() => Resolve("texts/mine.jsonl")).Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<DiffractException>(() => Resolve("texts/deep/mine")).Message, StringComparison.Ordinal);
        Assert.Empty(_server.Requests);
    }

    [Theory]
    [InlineData("---\nconfigs: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n---\n", false)]
    [InlineData("---\nconfigs:\n- config_name: {a: b\n---\n", false)]
    [InlineData("---\nx: &a [b]\nconfigs: *a\n---\n", true)]
    [InlineData("---\nconfigs: never closed\n", true)]
    public void A_damaged_card_is_our_own_error(string text, bool read)
    {
        Only("a.csv");
        _server.Files["README.md"] = Encoding.UTF8.GetBytes(text);
        if (!read)
        {
            Assert.Contains("README.md of org/data cannot be read", Assert.Throws<DiffractException>(() => Resolve("org/data")).Message, StringComparison.Ordinal);
            return;
        }

        Assert.Equal(["a.csv"], Resolve("org/data"));
    }

    [Theory]
    [InlineData("HuggingFaceFW/fineweb:sample-10BT:train", "HuggingFaceFW/fineweb", "main", "sample-10BT", "train", null)]
    [InlineData("a/b@v1.0::x", "a/b", "v1.0", null, "x", null)]
    [InlineData("a/b@refs/convert/parquet:default", "a/b", "refs/convert/parquet", "default", null, null)]
    [InlineData("hf://datasets/a/b@refs/convert/parquet/en/train/0000.parquet", "a/b", "refs/convert/parquet", null, null, "en/train/0000.parquet")]
    public void A_name_has_parts(string text, string repository, string revision, string? config, string? split, string? path)
    {
        HubDataName name = HubDataName.Parse(text)!;
        Assert.Equal((repository, revision, config, split, path), (name.Name.Repository, name.Name.Revision, name.Config, name.Split, name.Path));
    }

    [Theory]
    [InlineData("a/b.csv")]
    [InlineData("./a")]
    [InlineData("/a/b")]
    [InlineData("a/b/c")]
    [InlineData("a/*")]
    [InlineData("hf://models/a/b")]
    public void A_path_is_no_name(string text) => Assert.Null(HubDataName.Parse(text));
}
