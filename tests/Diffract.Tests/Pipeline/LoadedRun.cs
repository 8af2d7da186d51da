using Diffract.Tests.Cli;
using Diffract.Tests.Evidence;

namespace Diffract.Tests.Pipeline;

/// <summary>One <c>diffract run</c> on the organism's folders as a user would give them, chats alone, with a crosscoder that somebody else trained.</summary>
public sealed class LoadedRun : IDisposable
{
    readonly TemporaryFolder _folder = new();

    public LoadedRun()
    {
        Crosscoder = Path.Combine(_folder.Path, "published");
        using (GoldenInterventions golden = new())
        {
            golden.WriteCrosscoder(Directory.CreateDirectory(Crosscoder).FullName);
        }

        (Code, Output, Error) = Run();
    }

    public string Crosscoder { get; }

    public string Folder => _folder.Path;

    public string Out => Path.Combine(_folder.Path, "mine");

    public int Code { get; }

    public string Output { get; }

    public string Error { get; }

    public (int Code, string Output, string Error) Run(params string[] more)
        => CommandLine.Run(
            Folder,
            [
                "run", "--base", Path.Combine(GoldenFiles.Assets, "base"), "--chat", Path.Combine(GoldenFiles.Assets, "chat"), "--chats", Path.Combine(GoldenFiles.Assets, "chats.jsonl.gz"),
                "--tokens", "100000", "--layer", "3", "--out", Out, .. more.Length > 0 ? more : ["--crosscoder", Crosscoder],
            ]);

    public void Dispose() => _folder.Dispose();
}
