using Diffract.Tests.Formats.Hub;

namespace Diffract.Tests.Cli;

public sealed class HubNameTests
{
    [Fact]
    public void A_verb_takes_a_models_name_and_uses_its_snapshot()
    {
        using TemporaryFolder folder = new();
        using HubServer server = new();
        string organism = Path.Combine(GoldenFiles.Assets, "chat");
        foreach (string file in Directory.GetFiles(organism))
        {
            server.Files[Path.GetFileName(file)] = File.ReadAllBytes(file);
        }

        string ids = folder.File("ids.jsonl", """{"ids": [2, 17, 40]}""" + "\n");
        string a = Path.Combine(folder.Path, "a.safetensors"), b = Path.Combine(folder.Path, "b.safetensors");

        (int code, string said, string error) = CommandLine.Run(folder.Path, [("HF_HUB_OFFLINE", "0"), ("HF_ENDPOINT", server.Address)], ["forward", "--model", "org/model", "--ids", ids, "--out", a, "--blocks", "0"]);
        Assert.True(code == 0, error);
        Assert.Contains("commit 0123456", said, StringComparison.Ordinal);
        (code, said, _) = CommandLine.Run(folder.Path, "forward", "--model", "org/model", "--ids", ids, "--out", b, "--blocks", "0");
        Assert.Equal(0, code);
        Assert.Contains("in the cache", said, StringComparison.Ordinal);
        Assert.Equal(0, CommandLine.Run(folder.Path, "forward", "--model", organism, "--ids", ids, "--out", b, "--blocks", "0").Code);
        Assert.Equal(File.ReadAllBytes(b), File.ReadAllBytes(a));
    }

    [Fact]
    public void A_folder_that_is_not_there_costs_one_line()
    {
        using TemporaryFolder folder = new();
        (int code, _, string error) = CommandLine.Run(folder.Path, "forward", "--model", "no/such-model", "--ids", "x", "--out", "y");
        Assert.Equal(1, code);
        Assert.Single(error.Trim().Split('\n'));
        Assert.Contains("no/such-model", error, StringComparison.Ordinal);
    }
}
