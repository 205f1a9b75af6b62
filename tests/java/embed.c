/* A JVM inside a program that is not java: embed LIBJVM CLASSPATH [key=value...] runs Heap.main. */
#include <dlfcn.h>
#include <jni.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef jint (*create_vm)(JavaVM **, void **, void *);

static void die(const char *what) {
    fprintf(stderr, "embed: %s\n", what);
    exit(1);
}

static create_vm load(const char *libjvm) {
    void *handle = dlopen(libjvm, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        die(dlerror());
    void *symbol = dlsym(handle, "JNI_CreateJavaVM");
    if (!symbol)
        die("no JNI_CreateJavaVM");
    create_vm create;
    memcpy(&create, &symbol, sizeof create);
    return create;
}

static JNIEnv *start(create_vm create, const char *class_path) {
    size_t length = strlen(class_path) + sizeof "-Djava.class.path=";
    char *text = malloc(length);
    if (!text)
        die("no memory");
    snprintf(text, length, "-Djava.class.path=%s", class_path);
    JavaVMOption option = {text, NULL};
    JavaVMInitArgs args = {JNI_VERSION_1_8, 1, &option, JNI_FALSE};
    JavaVM *vm;
    JNIEnv *env;
    if (create(&vm, (void **)&env, &args) != JNI_OK)
        die("JNI_CreateJavaVM failed");
    return env;
}

static jobjectArray strings(JNIEnv *env, int count, char **values) {
    jclass string = (*env)->FindClass(env, "java/lang/String");
    jobjectArray array = (*env)->NewObjectArray(env, count, string, NULL);
    for (int i = 0; i < count; i++)
        (*env)->SetObjectArrayElement(env, array, i, (*env)->NewStringUTF(env, values[i]));
    return array;
}

int main(int argc, char **argv) {
    if (argc < 3)
        die("usage: embed LIBJVM CLASSPATH [key=value...]");
    JNIEnv *env = start(load(argv[1]), argv[2]);
    jclass heap = (*env)->FindClass(env, "Heap");
    if (!heap)
        die("no class Heap");
    jmethodID method = (*env)->GetStaticMethodID(env, heap, "main", "([Ljava/lang/String;)V");
    (*env)->CallStaticVoidMethod(env, heap, method, strings(env, argc - 3, argv + 3));
    if ((*env)->ExceptionCheck(env))
        (*env)->ExceptionDescribe(env);
    return 1; /* Heap.main ends the process itself */
}
