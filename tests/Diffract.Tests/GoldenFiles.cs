namespace Diffract.Tests;

/// <summary>Where the files that tests compare with lie, found from the test assembly's own folder.</summary>
public static class GoldenFiles
{
    /// <summary>The checkout.</summary>
    public static string Root { get; } = Find();

    /// <summary>The embedded pair: assets/organism.</summary>
    public static string Assets { get; } = System.IO.Path.Combine(Root, "assets", "organism");

    /// <summary>Absolute path of a file under tests/golden.</summary>
    public static string Path(string relative) => System.IO.Path.Combine(Root, "tests", "golden", relative);

    static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "Diffract.slnx")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException("the tests do not run from inside the checkout");
    }
}
