namespace Diffract.Tests.Llms;

/// <summary>A folder that goes when the test does.</summary>
sealed class TempFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("diffract-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
