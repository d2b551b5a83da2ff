@echo off
rem Runs Maven: the one that is installed; where none is, the one that .mvn\wrapper\maven-wrapper.properties names, fetched
rem once into the folder .m2\wrapper of the user. So a JDK is all that a machine needs.
rem
rem   JAVA_HOME     the JDK to run on, else the one on the PATH
rem   MVNW_REPOURL  a Maven repository to fetch Maven from, for machines that do not reach its own archive
setlocal DisableDelayedExpansion

for %%m in (mvn.cmd) do if "%%~$PATH:m"=="" goto fetch
call mvn.cmd %*
exit /b %ERRORLEVEL%

:fetch
set "java=java.exe"
if defined JAVA_HOME set "java=%JAVA_HOME%\bin\java.exe"
set "wrapper=%~dp0.mvn\wrapper"
set "home="
rem by a file: the brackets of a FOR take no path with brackets, as "Program Files (x86)" has
set "told=%TEMP%\mvnw-%RANDOM%-%RANDOM%.txt"
"%java%" "%wrapper%\FetchMaven.java" "%wrapper%\maven-wrapper.properties" >"%told%"
if not errorlevel 1 set /p "home=" <"%told%"
del "%told%"
if defined home goto run
>&2 echo mvnw: could not start "%java%" or fetch Maven: install a JDK 25 and point JAVA_HOME to its home, or install Maven
exit /b 1

:run
call "%home%\bin\mvn.cmd" %*
exit /b %ERRORLEVEL%
